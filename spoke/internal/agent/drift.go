package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// driftPause is how long after a look at drifted objects that are left as they are the spoke looks again, since
// somebody may have put them back.
const driftPause = time.Minute

// drift is one object that drifted. No secret value is in it.
type drift struct {
	object   manifest.ID
	kind     inventory.DriftKind
	by       []string
	changes  []apply.FieldChange
	more     int // fields that are left out of changes
	repaired bool
	at       time.Time // when it was found
}

func (d drift) equal(o drift) bool {
	return d.object == o.object && d.kind == o.kind && d.repaired == o.repaired && d.at.Equal(o.at) &&
		slices.Equal(d.by, o.by) && slices.Equal(d.changes, o.changes) && d.more == o.more
}

// driftsOf returns the drift that an apply repaired or left.
func driftsOf(changes *apply.ChangeSet, now time.Time) (all []drift) {
	for _, e := range changes.Entries {
		if !e.Drift.Any() || e.Err != nil || e.Action == apply.Skipped {
			continue
		}
		all = append(all, drift{object: e.Object.ID(), kind: e.Drift.Kind, by: e.Drift.By, changes: e.Changes,
			more: e.More, repaired: e.Action != apply.Drifted, at: now})
	}
	return all
}

// noteDrifts notes the drift that a successful apply found. Drift that was left before and is not among it is gone. It
// returns the event about drift that is left and was not known.
func (m *model) noteDrifts(n *node, found []drift) []action {
	before := n.drifts
	n.heldDrift, n.drifts, n.driftAt = nil, nil, time.Time{}
	var news []string
	for _, d := range found {
		if known := slices.IndexFunc(before, d.isSame); known >= 0 {
			d.at = before[known].at
		} else if !d.repaired {
			news = append(news, d.String())
		}
		if !d.repaired {
			n.holdLeft(d)
		}
		n.drifts = append(n.drifts, d)
	}
	for _, d := range before {
		if d.repaired && !slices.ContainsFunc(found, func(f drift) bool { return f.object == d.object }) {
			n.drifts = append(n.drifts, d)
		}
	}
	slices.SortStableFunc(n.drifts, func(a, b drift) int { return b.at.Compare(a.at) })
	n.drifts = n.drifts[:min(len(n.drifts), reporting.MaxDrifts)]
	if len(n.heldDrift) > 0 {
		n.driftAt = m.now.Add(driftPause)
	}
	if len(news) == 0 {
		return nil
	}
	const most = 3
	return []action{event{name: n.entry.Name, warning: true, reason: condition.DriftDetected,
		message: wording.List(news, len(news), most)}}
}

// isSame reports whether o is the same drift, seen before.
func (d drift) isSame(o drift) bool {
	o.at = d.at
	return !d.repaired && d.equal(o)
}

// holdLeft notes drift that is left as it is.
func (n *node) holdLeft(d drift) {
	if n.heldDrift == nil {
		n.heldDrift = map[manifest.ID]string{}
		n.heldSince = d.at
	}
	if d.at.Before(n.heldSince) {
		n.heldSince = d.at
	}
	n.heldDrift[d.object] = d.String()
}

// String describes the drift in a line: the object, its field managers and its fields, without their values. Events,
// conditions and logs have it; they go further than the status, which has the values.
func (d drift) String() string {
	by := ""
	if len(d.by) > 0 {
		by = " (" + strings.Join(d.by, ", ") + ")"
	}
	if len(d.changes) == 0 {
		return fmt.Sprintf("%s is %s%s", d.object, d.kind, by)
	}
	const most = 3
	var texts []string
	for _, c := range d.changes[:min(len(d.changes), most)] {
		texts = append(texts, c.String())
	}
	return fmt.Sprintf("%s%s: %s", d.object, by, wording.List(texts, len(d.changes)+d.more, most))
}

// fields names the fields that differed.
func (d drift) fields() string {
	const most = 3
	var paths []string
	for _, c := range d.changes[:min(len(d.changes), most)] {
		paths = append(paths, c.Path)
	}
	return wording.List(paths, len(d.changes)+d.more, most)
}

// describeRepaired is the end of the message about repairs.
func describeRepaired(all []drift) string {
	const most = 3
	var texts []string
	repaired := 0
	for _, d := range all {
		if d.repaired {
			if repaired++; repaired <= most {
				texts = append(texts, d.String())
			}
		}
	}
	if repaired == 0 {
		return ""
	}
	return ": " + wording.List(texts, repaired, most)
}

// message returns the drift as reports have it.
func (d drift) message(known discretion) *spokev1.DriftReport {
	m := &spokev1.DriftReport{Object: wireObject(d.object), Kind: string(d.kind), Repaired: d.repaired,
		By: d.by[:min(len(d.by), reporting.MaxChanges)], Time: timestamppb.New(d.at), More: uint32(d.more)}
	for _, c := range d.changes {
		m.Changes = append(m.Changes, &spokev1.FieldChange{Path: c.Path, Old: known.text(c.Old), New: known.text(c.New)})
	}
	return m
}

// driftMode returns the drift mode of an application; that of one that is not in the bundle does not matter.
func (a *Agent) driftMode(name bundle.ApplicationName) bundle.DriftMode {
	if n := a.model.nodes[name]; n != nil {
		return n.entry.Drift
	}
	return bundle.CorrectDrift
}
