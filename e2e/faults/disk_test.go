package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/navefleet/nave/e2e/harness"
)

// testDisks fills the disk of the spoke, then that of the hub.
func testDisks(t *testing.T) {
	t.Parallel()
	if !harness.CanMount() {
		t.Skip("this user cannot mount a small disk")
	}
	dir := t.TempDir()
	mount := func(folder, size string) *harness.Disk {
		d, err := harness.MountDisk(filepath.Join(dir, folder), size)
		must(t, err)
		t.Cleanup(func() { must(t, d.Unmount()) })
		return d
	}
	hubDisk, spokeDisk := mount("hub", "48M"), mount("spoke-disks/state", "16M")
	s := newStand(t, lab, dir)
	p := s.join(t, "disks", nil)
	before := settled(t, s.Hub)
	for _, fault := range []struct {
		name string
		disk *harness.Disk
		play func(*spoke)
	}{{"spoke_full", spokeDisk, spokeFull}, {"hub_full", hubDisk, hubFull}} {
		t.Run(fault.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.hold(func() {
				must(t, fault.disk.Fill())
				fault.play(&p)
				must(t, fault.disk.Free())
				must(t, s.Sync(t.Context()))
				p.arrives(fault.name)
			})
			backAt(t, s.Hub, before)
		})
	}
}

// spokeFull: the spoke has no room for a bundle. It refuses the bundle and says so, and goes on repairing.
func spokeFull(p *spoke) {
	p.push("spoke_full", map[string]string{"noise.yaml": p.noise("noise", 700_000)})
	refusal := regexp.MustCompile(`BundleRejected: .*(no space|full)`)
	eventually(p.t, seldom, "the bundle is refused", func(ctx context.Context) error {
		if err := p.ready(ctx); err == nil || !refusal.MatchString(err.Error()) {
			return fmt.Errorf("the hub says: %v", err)
		}
		return nil
	})
	p.repairs("first")
}

// hubFull: the hub has no room for a commit. The spoke goes on repairing.
func hubFull(p *spoke) {
	files := map[string]string{}
	for i := range 4 {
		name := fmt.Sprintf("noise-%d", i)
		files[name+".yaml"] = p.noise(name, 700_000)
	}
	p.commit("hub_full", files)
	if _, err := p.stand.Nave(p.t.Context(), "--timeout=5s", "reconcile", "source", "git", "hub"); err == nil {
		p.t.Log("the hub had room for the source")
	}
	p.repairs("spoke_full")
	full := regexp.MustCompile(`no space|disk is full`)
	eventually(p.t, often, "the hub says that its disk is full", func(context.Context) error {
		text, err := os.ReadFile(p.stand.Hub.Log)
		if err == nil && !full.Match(text) {
			err = fmt.Errorf("its log ends with %s", p.stand.Hub.Tail())
		}
		return err
	})
	if err := p.has(p.t.Context(), "app", "spoke_full"); err != nil {
		p.t.Error(err)
	}
}

// repairs edits an object, and waits until it is as the last bundle says.
func (p *spoke) repairs(value string) {
	p.t.Helper()
	must(p.t, p.Cluster.Edit(p.t.Context(), "ConfigMap", p.namespace(), "app", `{"data":{"value":"edited"}}`))
	p.arrives(value)
}
