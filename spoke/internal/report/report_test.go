package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wait"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// wire keeps what was sent, and fails as often as it is told to, after so many that it takes.
type wire struct {
	sent      []*spokev1.ReportRequest
	fail      int
	failAfter int
}

func (w *wire) Report(_ context.Context, r *spokev1.ReportRequest) error {
	if w.fail > 0 && len(w.sent) >= w.failAfter {
		w.fail--
		return errors.New("lost")
	}
	w.sent = append(w.sent, r)
	return nil
}

// take returns what was sent since the last take, as words.
func (w *wire) take() string {
	var out []string
	for _, r := range w.sent {
		words := []string{}
		if r.GetFull() {
			words = append(words, "full")
		}
		for _, a := range r.GetApplications() {
			words = append(words, a.GetName().GetName()+"="+a.GetMessage())
		}
		for _, name := range r.GetRemoved() {
			words = append(words, "-"+name.GetKind()+"/"+name.GetNamespace()+"/"+name.GetName())
		}
		if u := r.GetUpgrade(); u != nil {
			words = append(words, "image "+u.GetImage()+":"+u.GetFailure())
		}
		for _, e := range r.GetEvents() {
			words = append(words, "!"+e.GetReason())
		}
		out = append(out, strings.Join(words, " "))
	}
	w.sent = nil
	return strings.Join(out, " | ")
}

func appNamed(name string) bundle.ApplicationName {
	return bundle.ApplicationName{Kind: "Kustomization", Namespace: "ns", Name: name}
}

func app(name, message string) *spokev1.ApplicationReport {
	return &spokev1.ApplicationReport{Name: appNamed(name).Message(), Message: message}
}

func configMap(namespace, name string) *bundlev1.ObjectIdentity {
	return &bundlev1.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: namespace, Name: name}
}

// within runs a test in a bubble of time; step waits until everything that can happen did.
func within(t *testing.T, fn func(r *Reporter, w *wire, step func())) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		r := New(w, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		fn(r, w, func() {
			_ = wait.For(ctx, maxRetry)
			synctest.Wait()
		})
		cancel()
		running.Wait()
	})
}

func TestLatest(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		r.Connected(true)
		step()
		w.take()
		for i := range 1000 {
			r.Update(appNamed("a"), app("a", fmt.Sprint(i)))
		}
		r.Update(appNamed("b"), app("b", "x"))
		step()
		if got, want := w.take(), "a=999 b=x"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		r.Update(appNamed("b"), app("b", "y"))
		r.Remove(appNamed("a"))
		step()
		if got, want := w.take(), "b=y -Kustomization/ns/a"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestFull(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		r.Update(appNamed("a"), app("a", "1"))
		r.Update(appNamed("gone"), app("gone", "1"))
		r.Event(&spokev1.Event{Reason: "E"})
		r.Remove(appNamed("gone"))
		step()
		if got := w.take(); got != "" {
			t.Errorf("without a session, %q was sent", got)
		}
		r.Connected(true)
		step()
		if got, want := w.take(), "full a=1 !E"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		r.Connected(false)
		r.Connected(true)
		step()
		if got, want := w.take(), "full a=1"; got != want {
			t.Errorf("after a reconnect %q, want %q", got, want)
		}
	})
}

// TestUpgrade sends how far the spoke has come with another image when that changes, and to each new session.
func TestUpgrade(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		r.Connected(true)
		step()
		w.take()
		r.Upgrade("v2", "")
		r.Upgrade("v2", "not pulled")
		step()
		if got, want := w.take(), "image v2:not pulled"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		r.Update(appNamed("a"), app("a", "1"))
		step()
		if got, want := w.take(), "a=1"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		w.fail = 1
		r.Upgrade("", "")
		step()
		if got, want := w.take(), "image :"; got != want {
			t.Errorf("after a failure %q, want %q", got, want)
		}
		r.Upgrade("v3", "")
		step()
		w.take()
		r.Connected(true)
		step()
		if got, want := w.take(), "full a=1 image v3:"; got != want {
			t.Errorf("after a reconnect %q, want %q", got, want)
		}
	})
}

func TestLost(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		w.fail = 3
		r.Update(appNamed("a"), app("a", "1"))
		r.Event(&spokev1.Event{Reason: "E"})
		r.Connected(true)
		step()
		if got, want := w.take(), "full a=1 !E"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// TestPartsStaySent has the wire fail in the middle of a report of many messages.
func TestPartsStaySent(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		for i := range 20 {
			a := app(fmt.Sprintf("app-%02d", i), "x")
			for n := range 500 {
				a.Inventory = append(a.Inventory, configMap("a-rather-long-namespace",
					fmt.Sprintf("a-rather-long-name-of-an-object-%04d", n)))
			}
			r.Update(bundle.NameFrom(a.Name), a)
		}
		r.Event(&spokev1.Event{Reason: "E"})
		w.failAfter, w.fail = 2, 3
		r.Connected(true)
		step()
		times := map[string]int{}
		full, events := 0, 0
		for _, m := range w.sent {
			if n := proto.Size(m); n > maxRequest {
				t.Errorf("a message of %d bytes", n)
			}
			for _, a := range m.GetApplications() {
				times[a.GetName().GetName()]++
			}
			if m.GetFull() {
				full++
			}
			events += len(m.GetEvents())
		}
		if len(w.sent) < 5 || len(times) != 20 || full != 1 || events != 1 {
			t.Errorf("%d messages about %d applications, %d of them full, %d events", len(w.sent), len(times), full, events)
		}
		for name, n := range times {
			if n != 1 {
				t.Errorf("%s was sent %d times", name, n)
			}
		}
	})
}

// TestLostRemovals are due again.
func TestLostRemovals(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		r.Update(appNamed("a"), app("a", "1"))
		r.Connected(true)
		step()
		w.take()
		w.fail = 2
		r.Remove(appNamed("a"))
		r.Remove(bundle.ApplicationName{Kind: "Kustomization", Name: "b"})
		step()
		if got, want := w.take(), "-Kustomization//b -Kustomization/ns/a"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// TestTotal keeps what is told of all applications below what the hub keeps of one cluster.
func TestTotal(t *testing.T) {
	r := New(&wire{}, slog.New(slog.DiscardHandler))
	large := func(i int) *spokev1.ApplicationReport {
		a := app(fmt.Sprint("app-", i), "x")
		for range reporting.MaxInventory {
			a.Inventory = append(a.Inventory, configMap("", strings.Repeat("y", 50)))
		}
		return a
	}
	const n = 100
	total := func() (bytes, whole int) {
		for _, a := range r.latest {
			bytes += proto.Size(a)
			if len(a.Inventory) > 0 {
				whole++
			}
		}
		return bytes, whole
	}
	for range 2 {
		for i := range n {
			r.Update(appNamed(fmt.Sprint("app-", i)), large(i))
		}
		if bytes, whole := total(); bytes > reporting.MaxSent || bytes != r.size ||
			whole < reporting.MaxSent/reporting.MaxReport-1 ||
			len(r.latest) != n {
			t.Fatalf("%d bytes, counted %d, %d of %d with their inventory", bytes, r.size, whole, len(r.latest))
		}
	}
	for i := range n {
		r.Remove(appNamed(fmt.Sprint("app-", i)))
	}
	if r.size != 0 {
		t.Fatalf("%d bytes are counted of nothing", r.size)
	}
}

func TestSplit(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		for i := range 200 {
			a := app(fmt.Sprintf("app-%03d", i), strings.Repeat("ä", 1<<20))
			for n := range 6000 {
				a.Inventory = append(a.Inventory, configMap("a-rather-long-namespace",
					fmt.Sprintf("a-rather-long-name-of-an-object-%04d", n)))
			}
			for range 50 {
				a.Objects = append(a.Objects, &spokev1.ObjectReport{Message: strings.Repeat("\xff", 1<<16)})
			}
			r.Update(bundle.NameFrom(a.Name), a)
		}
		r.Connected(true)
		step()
		seen := map[string]bool{}
		for i, m := range w.sent {
			if n := proto.Size(m); n > 1<<20 {
				t.Errorf("a message of %d bytes", n)
			}
			if m.GetFull() != (i == 0) {
				t.Errorf("message %d: full is %v", i, m.GetFull())
			}
			for _, a := range m.GetApplications() {
				seen[a.GetName().GetName()] = true
				if !utf8.ValidString(a.GetMessage()) || len(a.GetObjects()) > reporting.MaxObjects ||
					len(a.GetInventory()) > reporting.MaxInventory {
					t.Fatalf("%s is not cut well", a.GetName())
				}
			}
		}
		if len(seen) != 200 {
			t.Errorf("%d applications were told of", len(seen))
		}
	})
}

// TestSplitNames renames so many applications at once that a hub takes their names only in two messages, what was
// removed first.
func TestSplitNames(t *testing.T) {
	const renamed = reporting.MaxApplications * 3 / 5
	within(t, func(r *Reporter, w *wire, step func()) {
		for i := range renamed {
			r.Update(appNamed(fmt.Sprint("old-", i)), app(fmt.Sprint("old-", i), ""))
		}
		r.Connected(true)
		step()
		w.take()
		for i := range renamed {
			r.Remove(appNamed(fmt.Sprint("old-", i)))
			r.Update(appNamed(fmt.Sprint("new-", i)), app(fmt.Sprint("new-", i), ""))
		}
		step()
		removed, added := 0, 0
		for _, m := range w.sent {
			if n := len(m.GetRemoved()) + len(m.GetApplications()); n > reporting.MaxApplications {
				t.Errorf("a message of %d names", n)
			}
			if added > 0 && len(m.GetRemoved()) > 0 {
				t.Error("an application is added before the last is removed")
			}
			removed, added = removed+len(m.GetRemoved()), added+len(m.GetApplications())
		}
		if removed != renamed || added != renamed {
			t.Errorf("told of %d that were removed and %d that were added", removed, added)
		}
	})
}

// TestTooMany has more applications than a hub takes: the others are counted, and take the place of those that go. What
// was reported stays up to date.
func TestTooMany(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		name := func(i int) string { return fmt.Sprintf("app-%04d", i) }
		for i := range reporting.MaxApplications + 2 {
			r.Update(appNamed(name(i)), app(name(i), "1"))
		}
		r.Connected(true)
		step()
		told := 0
		for _, m := range w.sent {
			told += len(m.GetApplications())
			if m.GetUnreported() != 2 {
				t.Errorf("%d are said to be unreported, want 2", m.GetUnreported())
			}
		}
		if told != reporting.MaxApplications {
			t.Errorf("%d applications were reported", told)
		}
		w.take()
		expect := func(want string, unreported uint32) {
			t.Helper()
			step()
			if len(w.sent) > 0 && w.sent[0].GetUnreported() != unreported {
				t.Errorf("%d are said to be unreported, want %d", w.sent[0].GetUnreported(), unreported)
			}
			if got := w.take(); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		}
		r.Update(appNamed(name(7)), app(name(7), "2"))
		r.Update(appNamed(name(2001)), app(name(2001), "2"))
		expect("app-0007=2", 2)
		r.Update(appNamed(name(2001)), app(name(2001), "3"))
		expect("", 2)
		r.Remove(appNamed(name(2000)))
		expect("-Kustomization/ns/app-2000", 1)
		r.Remove(appNamed(name(3)))
		expect("app-2001=3 -Kustomization/ns/app-0003", 0)
	})
}

func TestEvents_limit(t *testing.T) {
	within(t, func(r *Reporter, w *wire, step func()) {
		for i := range 1000 {
			r.Event(&spokev1.Event{Reason: fmt.Sprint(i)})
		}
		r.Connected(true)
		step()
		events := w.sent[0].GetEvents()
		if len(events) != reporting.MaxEvents || events[reporting.MaxEvents-1].GetReason() != "999" {
			t.Errorf("%d events, the last %s", len(events), events[len(events)-1].GetReason())
		}
	})
}

func TestNew_without_log(t *testing.T) {
	if r := New(nil, nil); r.log != slog.Default() {
		t.Error("it does not log to slog.Default")
	}
}
