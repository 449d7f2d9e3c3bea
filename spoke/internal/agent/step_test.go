package agent

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

var update = flag.Bool("update", false, "write what the scripts print into them")

// TestStep plays the scripts in testdata. A script is a list of blocks: one input, "----", and the
// actions that it leads to. Lines that start with # describe the case. Times are seconds since the start; the jitter
// is always one half. An application is named by a letter and has the digest that it is given as a word.
//
//	bundle 2 a=d2 b=d1,needs:a,wait     a verified bundle with this sequence
//	bundle 2 b=d1,needs:a,ready:a:CEL   and an expression, ~ for a comma, that says when the dependency is ready
//	bundle 2 b=d1,has:x / owner x a     with Thing x, which a has in the cluster
//	bundle 2 a=d2 -b ?c                 and one that was removed, and one that is pending (see list)
//	restore 2 a=d2 : a=d1,needs:b       the same from disk, with what was applied after the colon; ? for an unknown
//	                                    digest, or a=d1,as:x with that service account, or a=d1,withheld
//	restore left : a=?                  from disk, what was applied without a bundle
//	offer 3 / refuse 3 bad / retry 3 full / quiet 3 lost
//	applied a [fail:words] [held:set] [repaired:2] [Current|InProgress|Failed] [left:x|put:x]
//	                                    where the drift of Thing x is left as it is, or repaired
//	applied a pinned:3 / synced:3       a release (pin:3) that stays at revision 3, which is perhaps what the bundle has
//	changed x                           Secret x, which applications with reads:x read
//	removed a [fail:words] / observed a [drift] [held-drift:words] [health] / checked a health / at 12.5
func TestStep(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{m: newModel("east", func() float64 { return 0.5 }), words: map[manifest.Digest]string{}}
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		input, want, _ := strings.Cut(block, "----\n")
		var commands []string
		for line := range strings.Lines(input) {
			if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
				commands = append(commands, strings.TrimSpace(line))
			}
		}
		var got []string
		for _, command := range commands {
			got = append(got, s.do(t, command)...)
		}
		if len(commands) > 0 && len(got) == 0 {
			got = []string{"nothing"}
		}
		result := strings.Join(got, "\n")
		if strings.TrimSpace(want) != result && !*update {
			t.Errorf("%s\n%s\ngot:\n%s\nwant:\n%s", file, strings.TrimSpace(input), result, strings.TrimSpace(want))
		}
		out.WriteString(strings.TrimSuffix(input, "\n") + "\n")
		if len(commands) > 0 {
			out.WriteString("----\n" + result + "\n")
		}
		out.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// script plays lines against a model.
type script struct {
	m     *model
	now   time.Duration
	words map[manifest.Digest]string
	runs  map[bundle.ApplicationName]start
}

func appNamed(name string) bundle.ApplicationName {
	return bundle.ApplicationName{Kind: "Kustomization", Namespace: "ns", Name: name}
}

func inputNamed(name string) bundle.VariableSource {
	return bundle.VariableSource{Kind: "Secret", Namespace: "ns", Name: name, Live: true}
}

func (s *script) digest(word string) manifest.Digest {
	d := manifest.DigestOf([]byte(word))
	s.words[d] = word
	return d
}

func sequence(t *testing.T, word string) bundle.ID {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.ID{Epoch: 1, Sequence: n, Digest: manifest.DigestOf([]byte("bundle " + word))}
}

func (s *script) do(t *testing.T, command string) []string {
	t.Helper()
	words := strings.Fields(command)
	var in input
	switch verb, rest := words[0], words[1:]; verb {
	case "at":
		seconds, err := strconv.ParseFloat(rest[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		s.now = time.Duration(seconds * float64(time.Second))
		in = ticked{}
	case "bundle":
		id := sequence(t, rest[0])
		b, apps := s.bundle(rest[1:])
		s.m.offer = &session.Offer{ID: id}
		in = received{id: id, bundle: b, apps: apps}
	case "restore":
		in = s.restore(t, rest)
	case "owner": // owner x a: Thing x is in the inventory of a
		of := map[manifest.ID]bundle.ApplicationName{{Kind: "Thing", Name: rest[0]}: appNamed(rest[1])}
		s.m.ownerOf = func(id manifest.ID) (bundle.ApplicationName, bool) { name, known := of[id]; return name, known }
		return nil
	case "changed":
		in = changed{map[manifest.ID]bool{inputNamed(rest[0]).Identity().ID(): true}}
	case "offer":
		in = offered{session.Offer{ID: sequence(t, rest[0])}}
	case "refuse", "retry", "quiet":
		in = received{id: sequence(t, rest[0]), err: errors.New(strings.Join(rest[1:], " ")),
			retry: verb != "refuse", quiet: verb == "quiet"}
	default:
		in = s.result(t, verb, rest)
	}
	var out []string
	for _, a := range s.m.step(epoch.Add(s.now), in) {
		out = append(out, s.show(a)...)
	}
	return out
}

func (s *script) bundle(words []string) (*bundle.Bundle, applications) {
	b, apps := &bundle.Bundle{}, applications{}
	for _, word := range words {
		name, options, is := strings.Cut(word, "=")
		if !is {
			list(b, word)
			continue
		}
		parts := strings.Split(options, ",")
		e := bundle.Entry{Name: appNamed(name), Digest: s.digest(parts[0]), Revision: "r-" + parts[0]}
		app := &bundle.Application{Name: e.Name, Prune: true, Interval: 600 * time.Second, RetryInterval: 8 * time.Second,
			Timeout: 60 * time.Second}
		for _, option := range parts[1:] {
			key, value, _ := strings.Cut(option, ":")
			switch key {
			case "needs":
				app.DependsOn = append(app.DependsOn, appNamed(value))
			case "ready":
				dependency, expression, _ := strings.Cut(value, ":")
				expression = strings.ReplaceAll(expression, "~", ",")
				object := []byte(`{"metadata":{"name":"x","labels":{"version":"1"}}}`)
				app.ReadyExpressions = append(app.ReadyExpressions, bundle.ReadyExpression{Dependency: appNamed(dependency),
					Expression: expression, Dep: object, Self: object})
			case "has":
				app.Objects = append(app.Objects, bundle.ObjectReference{
					ObjectIdentity: bundle.ObjectIdentity{Kind: "Thing", Name: value}})
			case "as":
				app.ServiceAccount = value
			case "wait":
				app.Wait = true
			case "reads":
				app.Substitution = &bundle.Substitution{Sources: []bundle.VariableSource{inputNamed(value)}}
			case "parent":
				e.Parent = appNamed(value)
			case "checks":
				app.HealthChecks = []bundle.ObjectIdentity{{Kind: "Thing", Name: value}}
			case "peer":
				app.HealthChecks = append(app.HealthChecks, bundle.ObjectIdentity{
					Group: "example.org", Version: "v1", Kind: appNamed(value).Kind, Namespace: appNamed(value).Namespace, Name: value,
				})
			case "suspended":
				e.Suspended = true
			case "asked":
				e.RequestedAt = value
			case "confirms":
				e.ConfirmedPrune = s.digest(value)
			case "rev":
				e.Revision = value
			case "drift":
				e.Drift = bundle.DriftMode(value)
			case "pin":
				n, _ := strconv.Atoi(value)
				e.PinnedRevision = uint32(n)
				app.Release = &bundle.Release{}
			}
		}
		b.Applications = append(b.Applications, e)
		apps[e.Name] = app
	}
	return b, apps
}

// list adds a word that is no application: -a (removed by its own policy), -a:Delete, -a:Delete! (confirmed), ?a
// (pending), incomplete.
func list(b *bundle.Bundle, word string) {
	switch {
	case word == "incomplete":
		b.Incomplete = true
	case word[0] == '?':
		b.Pending = append(b.Pending, appNamed(word[1:]))
	default:
		word, confirmed := strings.CutSuffix(word[1:], "!")
		name, policy, stated := strings.Cut(word, ":")
		if !stated {
			policy = string(bundle.MirrorPrune)
		}
		b.Removals = append(b.Removals, bundle.Removal{Name: appNamed(name), Policy: bundle.DeletionPolicy(policy),
			Confirmed: confirmed})
	}
}

func (s *script) restore(t *testing.T, words []string) input {
	in := restored{left: map[bundle.ApplicationName]*leftover{}}
	if words[0] == "nothing" {
		return in
	}
	if words[0] != "left" {
		in.id = sequence(t, words[0])
	}
	var named []string
	for i, word := range words[1:] {
		if word == ":" {
			for _, word := range words[i+2:] {
				name, digest, _ := strings.Cut(word, "=")
				digest, needs, _ := strings.Cut(digest, ",needs:")
				digest, account, _ := strings.Cut(digest, ",as:")
				digest, held := strings.CutSuffix(digest, ",withheld")
				digest, pin, _ := strings.Cut(digest, ",pinned:")
				digest, cut := strings.CutSuffix(digest, "!")
				pinned, _ := strconv.Atoi(pin)
				mark := state.Mark{Prune: true, ServiceAccount: account, Withheld: held, Pinned: uint32(pinned)}
				if digest != "?" {
					mark.Digest, mark.Revision = s.digest(digest), "r-"+digest
				}
				if needs != "" {
					mark.DependsOn = []bundle.ApplicationName{appNamed(needs)}
				}
				in.left[appNamed(name)] = &leftover{mark: mark, unclean: cut}
			}
			break
		}
		named = append(named, word)
	}
	if words[0] != "left" {
		in.bundle, in.apps = s.bundle(named)
	}
	return in
}

func (s *script) result(t *testing.T, verb string, words []string) input {
	o := appNamed(words[0])
	n := s.m.nodes[o]
	if n == nil {
		t.Fatalf("%s %s: no such application", verb, words[0])
	}
	var f failure
	repaired, seen := 0, false
	var held map[manifest.ID]string
	var drifts []drift
	var found *releaseStatus
	var retryAt time.Time
	sum := inventory.Summary{Status: health.Current, Current: 1}
	status := health.Current
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, ":")
		switch key {
		case "fail":
			f = failure{reason: condition.ReconciliationFailed, message: value}
		case "held":
			f = failure{reason: condition.PruneHeld, message: value, held: &apply.GuardError{Digest: s.digest(value)}}
		case "pinned", "synced": // a release is at the revision of its pin, and perhaps that is what the bundle has
			found = &releaseStatus{}
			found.pinned, _ = strconv.Atoi(value)
			if key == "pinned" {
				f, retryAt = failure{reason: condition.Pinned, message: "at revision " + value}, epoch.Add(s.now+600*time.Second)
			}
		case "repaired":
			repaired, _ = strconv.Atoi(value)
		case "drift":
			seen = true
		case "left", "put":
			drifts = append(drifts, driftNamed(value, key == "put", epoch.Add(s.now)))
		case "held-drift":
			held = map[manifest.ID]string{{Kind: "Thing", Name: "x"}: value}
		case "objects":
			sum.Current, _ = strconv.Atoi(value)
		default:
			status = health.Status(key)
			sum = summary(status)
		}
	}
	switch verb {
	case "applied":
		st := s.runs[o]
		return applied{name: o, run: st.run, mark: st.success(epoch.Add(s.now)), request: st.entry.RequestedAt, failure: f,
			repaired: repaired, drifts: drifts, health: sum, release: found, retryAt: retryAt}
	case "removed":
		return removed{name: o, run: n.run, failure: f}
	case "observed":
		return observed{name: o, drift: seen, held: held, health: sum}
	case "checked":
		return checked{name: o, status: status, text: "Thing x is " + string(status)}
	}
	t.Fatalf("unknown verb %q", verb)
	return nil
}

// driftNamed is the drift of a Thing, whose name is also the value that one of its fields has.
func driftNamed(name string, repaired bool, at time.Time) drift {
	return drift{object: manifest.ID{Kind: "Thing", Name: name}, kind: inventory.Changed, by: []string{"rival"},
		changes: []apply.FieldChange{{Path: "/a", Old: "1", New: name}}, repaired: repaired, at: at}
}

func summary(status health.Status) inventory.Summary {
	sum := inventory.Summary{Status: status,
		Unhealthy: []inventory.ObjectHealth{{ID: manifest.ID{Kind: "Thing", Name: "x"},
			Status: status}}}
	switch status {
	case health.Current:
		return inventory.Summary{Status: status, Current: 1}
	case health.Failed:
		sum.Failed = 1
	default:
		sum.InProgress = 1
	}
	return sum
}

// show prints an action, without the fields that the scripts do not check.
func (s *script) show(a action) []string {
	if s.runs == nil {
		s.runs = map[bundle.ApplicationName]start{}
	}
	switch a := a.(type) {
	case receive:
		return []string{fmt.Sprintf("receive %d", a.offer.ID.Sequence)}
	case start:
		s.runs[a.name] = a
		line := "start " + a.name.Name + " " + s.words[a.entry.Digest]
		if a.app.ServiceAccount != "" {
			line += " as " + a.app.ServiceAccount
		}
		if a.reapply {
			line += " every-object"
		}
		if !a.confirmed.IsZero() {
			line += " prunes " + s.words[a.confirmed]
		}
		return []string{line}
	case remove:
		line := "remove " + a.name.Name
		if a.mark.ServiceAccount != "" {
			line += " as " + a.mark.ServiceAccount
		}
		if a.mark.Suspended {
			line += " (suspended)"
		}
		if a.mark.DeletionPolicy != "" {
			line += " (" + string(a.mark.DeletionPolicy) + ")"
		}
		return []string{line}
	case cancel:
		return []string{"cancel " + a.name.Name}
	case remember:
		line := fmt.Sprintf("remember %s %s", a.name.Name, s.words[a.mark.Digest])
		if healthy := a.mark.HealthyDigest; !healthy.IsZero() && healthy != a.mark.Digest {
			line += " (last healthy " + s.words[healthy] + ")"
		}
		if a.mark.Withheld {
			line += " withheld"
		}
		return []string{line}
	case sweep:
		return []string{"sweep"}
	case forget:
		return []string{"forget " + a.name.Name}
	case ack:
		if a.err != nil {
			return []string{fmt.Sprintf("ack %d rejected: %v", a.id.Sequence, a.err)}
		}
		return []string{fmt.Sprintf("ack %d %s", a.id.Sequence, []string{"none", "received", "applied", "healthy"}[a.stage])}
	case tell:
		return []string{fmt.Sprintf("tell %s %s %s: %s", a.entry.Name.Name, a.ready.Status, a.ready.Reason,
			a.ready.Message)}
	case event:
		return []string{fmt.Sprintf("event %s %s: %s", a.name.Name, a.reason, a.message)}
	case check:
		return []string{"check " + a.name.Name}
	case verify:
		return []string{"verify " + a.name.Name}
	case arm:
		if a.at.IsZero() {
			return []string{"arm never"}
		}
		return []string{fmt.Sprintf("arm %g", a.at.Sub(epoch).Seconds())}
	}
	return nil
}

// TestGuard_of_a_rename removes an application of many objects. Objects that another application of the bundle takes
// over do not count as deleted.
func TestGuard_of_a_rename(t *testing.T) {
	var ids []manifest.ID
	taker := &bundle.Application{Name: appNamed("b")}
	for i := range 30 {
		id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: strconv.Itoa(i)}
		ids = append(ids, id.ID())
		taker.Objects = append(taker.Objects, bundle.ObjectReference{ObjectIdentity: id})
	}
	m := newModel("east", func() float64 { return 0.5 })
	m.owned = func(bundle.ApplicationName) []manifest.ID { return ids }
	m.nodes[appNamed("a")] = &node{entry: bundle.Entry{Name: appNamed("a")}, mark: state.Mark{Prune: true},
		health: inventory.Summary{Current: 30}}
	b := &bundle.Bundle{Removals: []bundle.Removal{{Name: appNamed("a"), Policy: bundle.Delete}}}
	for taken, held := range map[int]bool{0: true, 3: true, 4: false, 30: false} { // of 30, 27 are nine tenths
		part := *taker
		part.Objects = taker.Objects[:taken]
		if err := m.guard(b, applications{part.Name: &part}); (err != nil) != held {
			t.Errorf("with %d objects taken over: %v", taken, err)
		}
	}
}

// TestGuard_of_a_handover removes an application whose objects go to one that the bundle does not have yet.
func TestGuard_of_a_handover(t *testing.T) {
	ids := make([]manifest.ID, 30)
	handovers := make([]bundle.Handover, len(ids))
	for i := range ids {
		ids[i] = manifest.ID{Kind: "ConfigMap", Namespace: "n", Name: strconv.Itoa(i)}
		handovers[i] = bundle.Handover{Object: ids[i], To: appNamed("b")}
	}
	m := newModel("east", func() float64 { return 0.5 })
	m.owned = func(bundle.ApplicationName) []manifest.ID { return ids }
	m.nodes[appNamed("a")] = &node{entry: bundle.Entry{Name: appNamed("a")}, mark: state.Mark{Prune: true},
		health: inventory.Summary{Current: 30}}
	b := &bundle.Bundle{Removals: []bundle.Removal{{Name: appNamed("a"), Policy: bundle.Delete}}}
	if m.guard(b, nil) == nil {
		t.Error("30 objects may be deleted")
	}
	b.Handovers = handovers
	if err := m.guard(b, nil); err != nil {
		t.Error(err)
	}
	own := bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Kind: "ConfigMap", Namespace: "n", Name: "0"}}
	claims := claimsOf(applications{appNamed("c"): {Objects: []bundle.ObjectReference{own}}}, handovers, nil)
	if claims[ids[0]].name != appNamed("c") || claims[ids[1]].name != appNamed("b") {
		t.Errorf("claims of %v", claims)
	}
}
