package kinesissim

import "math/big"

// putRecord stores one record.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
type putRecord struct {
	target
	entry
	ordering *string
	dry      bool
}

func (p *putRecord) field(name string, v value) error {
	switch name {
	case "SequenceNumberForOrdering":
		return v.into(&p.ordering)
	case "DryRun":
		return v.flag(&p.dry)
	case "StreamName", "StreamARN":
		return p.target.field(name, v)
	}
	return p.entry.field(name, v)
}

func (p *putRecord) puts() []PutEntry { return []PutEntry{p.put()} }

func (p *putRecord) validate(v *violations) {
	if p.ordering != nil {
		v.decimal(*p.ordering, "sequenceNumberForOrdering", 128)
	}
	p.entry.validate(v, "")
	p.target.validate(v)
}

type putRecordOutput struct {
	EncryptionType string
	SequenceNumber string
	ShardId        string // the protocol's name
}

func (p *putRecord) run(s *Server, x *exchange) (any, *apiError) {
	now, e := x.at, x.entries[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&p.target)
	if failure != nil {
		return nil, failure
	}
	if failure := st.checkSize(e, ""); failure != nil {
		return nil, failure
	}
	sh, failure := st.place(e)
	if failure != nil {
		return nil, failure
	}
	// Sequence numbers grow in order of arrival here, so a sequence number of the
	// stream has no effect; any other is refused.
	if p.ordering != nil && !wellFormed(*p.ordering) {
		return nil, invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
			*p.ordering, st.Name, s.cfg.AccountID)
	}
	if p.dry {
		return nil, dryRun()
	}
	r, code, message := s.storeLocked(x, st, sh, e, x.codes[0], now)
	if r == nil {
		return nil, asRequestError(code, message)
	}
	return &putRecordOutput{EncryptionType: st.encryptionType(), SequenceNumber: r.SequenceNumber, ShardId: r.ShardID}, nil
}

// wellFormed reports whether a number has the form of a sequence number.
func wellFormed(decimal string) bool {
	_, ok := shardIn(decimal)
	return ok
}

// shardIn reads the shard out of a sequence number.
func shardIn(decimal string) (index uint32, ok bool) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		return 0, false
	}
	text := n.Text(16)
	if len(text) != 47 || text[0] != '2' || text[46] != '2' {
		return 0, false
	}
	n.Rsh(n, 4)
	return uint32(n.Uint64()), true // the low 64 bits; of those, 32
}
