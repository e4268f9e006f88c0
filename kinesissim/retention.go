package kinesissim

// retention is a request to change a stream's retention.
type retention struct {
	target
	hours *int64
}

func (r *retention) field(name string, v value) error {
	if name == "RetentionPeriodHours" {
		return v.integer(&r.hours)
	}
	return r.target.field(name, v)
}

func (r *retention) validate(v *violations) {
	if r.hours == nil {
		v.missing("retentionPeriodHours")
	}
	r.target.validate(v)
}

// change sets the retention, unless wrong returns an error for the one that the stream has.
func (r *retention) change(s *Server, wrong func(st *stream, hours int) *apiError) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&r.target)
	if failure != nil {
		return nil, failure
	}
	switch hours := int(*r.hours); {
	case hours < minRetention:
		return nil, invalidArgument("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", minRetention, hours)
	case hours > maxRetention:
		return nil, invalidArgument("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", maxRetention, hours)
	default:
		if failure := wrong(st, hours); failure != nil {
			return nil, failure
		}
		st.RetentionHours = hours
	}
	return nil, nil
}

// increaseRetention makes records readable for longer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html
type increaseRetention struct{ retention }

func (r *increaseRetention) run(s *Server, _ *exchange) (any, *apiError) {
	return r.change(s, func(st *stream, hours int) *apiError {
		if hours >= st.RetentionHours {
			return nil
		}
		return invalidArgument("Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.",
			hours, st.Name, st.RetentionHours)
	})
}

// decreaseRetention makes records unreadable sooner.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html
type decreaseRetention struct{ retention }

func (r *decreaseRetention) run(s *Server, _ *exchange) (any, *apiError) {
	return r.change(s, func(st *stream, hours int) *apiError {
		if hours <= st.RetentionHours {
			return nil
		}
		return invalidArgument("Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.",
			hours, st.Name, st.RetentionHours)
	})
}
