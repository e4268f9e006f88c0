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
	v.within(r.hours, "retentionPeriodHours", minRetention, maxRetention)
	r.target.validate(v)
}

// change sets the retention. sign is 1 to increase it, -1 to decrease it; wrong describes a
// number that does the opposite.
func (r *retention) change(s *Server, sign int, wrong string) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&r.target)
	if failure != nil {
		return nil, failure
	}
	hours := int(*r.hours)
	if (hours-st.RetentionHours)*sign < 0 {
		return nil, invalidArgument("Requested retention period (%d hours) for stream %s is %s than the existing retention period (%d hours).",
			hours, st.Name, wrong, st.RetentionHours)
	}
	st.RetentionHours = hours
	return nil, nil
}

// increaseRetention makes records readable for longer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html
type increaseRetention struct{ retention }

func (r *increaseRetention) run(s *Server, _ *exchange) (any, *apiError) {
	return r.change(s, 1, "shorter")
}

// decreaseRetention makes records unreadable sooner.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html
type decreaseRetention struct{ retention }

func (r *decreaseRetention) run(s *Server, _ *exchange) (any, *apiError) {
	return r.change(s, -1, "longer")
}
