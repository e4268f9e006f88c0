package kinesissim

// deleteStream removes a stream and its records.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html
type deleteStream struct{ target }

func (d *deleteStream) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&d.target)
	if failure != nil {
		return nil, failure
	}
	delete(s.streams, st.Name)
	return nil, nil
}

// DeleteStream removes a stream and its records at once. It fails if the stream does not
// exist.
func (s *Server) DeleteStream(name string) error {
	return s.execute("DeleteStream", map[string]any{"StreamName": name})
}
