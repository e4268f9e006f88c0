package view

import "container/list"

// maxRemoved is how many removals are remembered for clients that were away.
const maxRemoved = 10_000

// node is an invocation, an environment or the removal of one, in the order of changes.
type node struct {
	revision    uint64
	element     *list.Element
	invocation  *invocation
	environment *environment
	removed     uint64 // the number
}

// changes has every node once, by its last change.
type changes struct {
	revision  uint64    // of the last change
	nodes     list.List // of *node, the oldest change first
	removed   list.List // those nodes that are removals
	forgotten uint64    // the revision of the last removal that was forgotten
}

// touch notes that a node changed.
func (c *changes) touch(n *node) {
	c.revision++
	n.revision = c.revision
	if n.element == nil {
		n.element = c.nodes.PushBack(n)
		return
	}
	c.nodes.MoveToBack(n.element)
}

// remove notes that what has the number is gone.
func (c *changes) remove(n *node, number uint64) {
	c.nodes.Remove(n.element)
	gone := &node{removed: number}
	c.touch(gone)
	c.removed.PushBack(gone)
	if c.removed.Len() > maxRemoved {
		oldest := c.removed.Remove(c.removed.Front()).(*node)
		c.nodes.Remove(oldest.element)
		c.forgotten = oldest.revision
	}
}

// Position is how far a client is. The zero value is the beginning.
type Position struct {
	Revision uint64 `json:"revision"` // the client has all changes up to this one
	Began    uint64 `json:"began"`    // the latest change when the client began with nothing
}

// Changes is what changed after a position.
type Changes struct {
	Position                   // ask for what changed after this one
	Reset        bool          `json:"reset,omitempty"` // forget everything: some removals are not known
	More         bool          `json:"more,omitempty"`  // there are more changes
	Invocations  []Invocation  `json:"invocations,omitempty"`
	Environments []Environment `json:"environments,omitempty"`
	Removed      []uint64      `json:"removed,omitempty"` // numbers of invocations and environments
}

// since returns up to so many changes after a position. A client that has not loaded
// everything yet does not have what was removed before it began.
func (c *changes) since(after Position, most int) Changes {
	out := Changes{Position: after}
	known := max(after.Revision, after.Began)
	if after.Revision > 0 && known < c.forgotten || known > c.revision {
		out.Reset, out.Revision = true, 0
	}
	if out.Revision == 0 {
		out.Began = c.revision
	}
	revision := out.Revision
	at := c.nodes.Back()
	for at != nil && at.Prev() != nil && at.Prev().Value.(*node).revision > revision {
		at = at.Prev()
	}
	for ; at != nil; at = at.Next() {
		n := at.Value.(*node)
		if n.revision <= revision {
			break
		}
		if most == 0 {
			out.More = true
			return out
		}
		out.Revision = n.revision
		if n.invocation == nil && n.environment == nil && n.revision <= out.Began {
			continue
		}
		most--
		switch {
		case n.invocation != nil:
			out.Invocations = append(out.Invocations, n.invocation.Invocation)
		case n.environment != nil:
			out.Environments = append(out.Environments, n.environment.Environment)
		default:
			out.Removed = append(out.Removed, n.removed)
		}
	}
	return out
}

// Changes returns up to so many changes after a position.
func (v *View) Changes(after Position, most int) Changes {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.store.changes.since(after, most)
}
