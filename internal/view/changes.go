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

// Changes is what changed after a revision.
type Changes struct {
	Revision     uint64        `json:"revision"`        // ask for what changed after this one
	Reset        bool          `json:"reset,omitempty"` // forget everything: some removals are not known
	More         bool          `json:"more,omitempty"`  // there are more changes
	Invocations  []Invocation  `json:"invocations,omitempty"`
	Environments []Environment `json:"environments,omitempty"`
	Removed      []uint64      `json:"removed,omitempty"` // numbers of invocations and environments
}

// since returns up to so many changes after a revision.
func (c *changes) since(revision uint64, most int) Changes {
	out := Changes{Revision: revision}
	if revision > 0 && revision < c.forgotten || revision > c.revision {
		out.Reset, revision = true, 0
	}
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
		most--
		out.Revision = n.revision
		switch {
		case n.invocation != nil:
			out.Invocations = append(out.Invocations, n.invocation.Invocation)
		case n.environment != nil:
			out.Environments = append(out.Environments, n.environment.Environment)
		case revision > 0:
			out.Removed = append(out.Removed, n.removed)
		}
	}
	return out
}

// Changes returns up to so many changes after a revision.
func (v *View) Changes(revision uint64, most int) Changes {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.store.changes.since(revision, most)
}
