package kinesissim

import (
	"maps"
	"slices"
)

const maxTags = 50 // of a resource

// tagMap are the tags of a request.
type tagMap struct {
	has  bool
	tags map[string]string
}

func (t *tagMap) read(v value) error {
	t.has, t.tags = true, map[string]string{}
	return v.fields(func(name string, v value) error {
		text, err := v.text()
		t.tags[name] = text
		return err
	})
}

func (t *tagMap) validate(v *violations) {
	for _, key := range slices.Sorted(maps.Keys(t.tags)) {
		v.length(key, "tags.key", 1, 128)
		v.length(t.tags[key], "tags."+key+".value", 0, 256)
	}
}

// add adds tags to a resource.
func (t *tagMap) add(r *resource) *apiError {
	all := map[string]string{}
	maps.Copy(all, r.tags)
	maps.Copy(all, t.tags)
	if len(all) > maxTags {
		return invalidArgument("The resource would have %d tags: at most %d are allowed.", len(all), maxTags)
	}
	r.tags = all
	return nil
}

// tagKeys are the keys of a request that removes tags.
type tagKeys struct {
	has  bool
	keys []string
}

func (t *tagKeys) read(v value) (err error) {
	t.has = true
	t.keys, err = v.texts()
	return err
}

func (t *tagKeys) remove(r *resource) {
	for _, key := range t.keys {
		delete(r.tags, key)
	}
}

type tag struct{ Key, Value string }

// tagsAfter returns the tags after a key, in order of their keys.
func (r *resource) tagsAfter(after string) []tag {
	out := []tag{}
	for _, key := range slices.Sorted(maps.Keys(r.tags)) {
		if key > after {
			out = append(out, tag{key, r.tags[key]})
		}
	}
	return out
}

// addTagsToStream adds tags to a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_AddTagsToStream.html
type addTagsToStream struct {
	target
	tagMap
}

func (a *addTagsToStream) field(name string, v value) error {
	if name == "Tags" {
		return a.read(v)
	}
	return a.target.field(name, v)
}

func (a *addTagsToStream) validate(v *violations) {
	if !a.has {
		v.missing("tags")
	}
	a.tagMap.validate(v)
	a.target.validate(v)
}

func (a *addTagsToStream) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&a.target)
	if failure != nil {
		return nil, failure
	}
	return nil, a.add(&st.resource)
}

// removeTagsFromStream removes tags from a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RemoveTagsFromStream.html
type removeTagsFromStream struct {
	target
	tagKeys
}

func (r *removeTagsFromStream) field(name string, v value) error {
	if name == "TagKeys" {
		return r.read(v)
	}
	return r.target.field(name, v)
}

func (r *removeTagsFromStream) validate(v *violations) {
	if !r.has {
		v.missing("tagKeys")
	}
	r.target.validate(v)
}

func (r *removeTagsFromStream) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&r.target)
	if failure != nil {
		return nil, failure
	}
	r.remove(&st.resource)
	return nil, nil
}

// listTagsForStream lists a stream's tags.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html
type listTagsForStream struct {
	target
	limit *int64
	after *string
}

func (l *listTagsForStream) field(name string, v value) error {
	switch name {
	case "Limit":
		return v.integer(&l.limit)
	case "ExclusiveStartTagKey":
		return v.into(&l.after)
	}
	return l.target.field(name, v)
}

func (l *listTagsForStream) validate(v *violations) {
	v.within(l.limit, "limit", 1, maxTags)
	l.target.validate(v)
}

func (l *listTagsForStream) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, failure := s.findLocked(&l.target)
	if failure != nil {
		return nil, failure
	}
	after := ""
	if l.after != nil {
		after = *l.after
	}
	tags := st.tagsAfter(after)
	limit := min(orDefault(l.limit, maxTags), len(tags))
	return &struct {
		HasMoreTags bool
		Tags        []tag
	}{limit < len(tags), tags[:limit]}, nil
}

// tagResource adds tags to a stream or a consumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html
type tagResource struct {
	resourceTarget
	tagMap
}

func (t *tagResource) field(name string, v value) error {
	if name == "Tags" {
		return t.read(v)
	}
	return t.resourceTarget.field(name, v)
}

func (t *tagResource) validate(v *violations) {
	if !t.has {
		v.missing("tags")
	}
	t.tagMap.validate(v)
	t.resourceTarget.validate(v)
}

func (t *tagResource) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&t.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	return nil, t.add(r)
}

// untagResource removes tags from a stream or a consumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UntagResource.html
type untagResource struct {
	resourceTarget
	tagKeys
}

func (u *untagResource) field(name string, v value) error {
	if name == "TagKeys" {
		return u.read(v)
	}
	return u.resourceTarget.field(name, v)
}

func (u *untagResource) validate(v *violations) {
	if !u.has {
		v.missing("tagKeys")
	}
	u.resourceTarget.validate(v)
}

func (u *untagResource) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&u.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	u.remove(r)
	return nil, nil
}

// listTagsForResource lists the tags of a stream or a consumer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForResource.html
type listTagsForResource struct{ resourceTarget }

func (l *listTagsForResource) run(s *Server, _ *exchange) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, failure := s.findResourceLocked(&l.resourceTarget)
	if failure != nil {
		return nil, failure
	}
	return &struct{ Tags []tag }{r.tagsAfter("")}, nil
}
