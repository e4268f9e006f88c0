package kinesissim

// updateStreamMode changes how a stream's capacity is paid for. Its shards stay.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html
type updateStreamMode struct {
	target
	mode *string
}

func (u *updateStreamMode) field(name string, v value) error {
	if name == "StreamModeDetails" {
		return v.streamMode(&u.mode)
	}
	return u.target.field(name, v)
}

func (v value) streamMode(p **string) error {
	return v.fields(func(name string, v value) error {
		if name == "StreamMode" {
			return v.into(p)
		}
		return nil
	})
}

func (u *updateStreamMode) validate(v *violations) {
	if u.mode == nil {
		v.missing("streamModeDetails.streamMode")
	}
	v.oneOf(u.mode, "streamModeDetails.streamMode", "PROVISIONED", "ON_DEMAND")
	u.target.validate(v)
}

func (u *updateStreamMode) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&u.target)
	if failure != nil {
		return nil, failure
	}
	st.onDemand = *u.mode == "ON_DEMAND"
	return nil, nil
}

// updateMaxRecordSize changes how large a stream's records may be.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html
type updateMaxRecordSize struct {
	target
	sizeKiB *int64
}

func (u *updateMaxRecordSize) field(name string, v value) error {
	if name == "MaxRecordSizeInKiB" {
		return v.integer(&u.sizeKiB)
	}
	return u.target.field(name, v)
}

func (u *updateMaxRecordSize) validate(v *violations) {
	if u.sizeKiB == nil {
		v.missing("maxRecordSizeInKiB")
	}
	v.within(u.sizeKiB, "maxRecordSizeInKiB", minRecordKiB, maxRecordKiB)
	u.target.validate(v)
}

func (u *updateMaxRecordSize) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&u.target)
	if failure != nil {
		return nil, failure
	}
	st.MaxRecordSizeKiB = int(*u.sizeKiB)
	return nil, nil
}
