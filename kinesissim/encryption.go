package kinesissim

// encryption is a request to start or stop the encryption of a stream. The stream reports
// the key; its records stay as they are.
type encryption struct {
	target
	kind, key *string
}

func (e *encryption) field(name string, v value) error {
	switch name {
	case "EncryptionType":
		return v.into(&e.kind)
	case "KeyId":
		return v.into(&e.key)
	}
	return e.target.field(name, v)
}

func (e *encryption) validate(v *violations) {
	if e.kind == nil {
		v.missing("encryptionType")
	}
	v.oneOf(e.kind, "encryptionType", "KMS", "NONE")
	if e.key == nil {
		v.missing("keyId")
	} else {
		v.length(*e.key, "keyId", 1, 2048)
	}
	e.target.validate(v)
}

func (e *encryption) set(s *Server, key string) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&e.target)
	if failure != nil {
		return nil, failure
	}
	st.encryptionKey = key
	return nil, nil
}

// encryptionType is NONE or KMS, as answers say it.
func (st *stream) encryptionType() string {
	if st.encryptionKey == "" {
		return "NONE"
	}
	return "KMS"
}

// startStreamEncryption names the key of a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
type startStreamEncryption struct{ encryption }

func (e *startStreamEncryption) run(s *Server, _ *exchange) (any, *apiError) {
	return e.set(s, *e.key)
}

// stopStreamEncryption forgets the key of a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StopStreamEncryption.html
type stopStreamEncryption struct{ encryption }

func (e *stopStreamEncryption) run(s *Server, _ *exchange) (any, *apiError) { return e.set(s, "") }
