package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/faults/proxy"
)

// killBeforeApply: the spoke dies between accepting a bundle and the first request for it. What it accepted is on its
// disk: started again it carries that out, although the hub cannot be reached.
func killBeforeApply(p *spoke) {
	p.kube.plan(kill{method: "PATCH", nth: 1})
	p.push("accepted", nil)
	p.kube.await()
	if err := p.has(p.t.Context(), "app", "first"); err != nil {
		p.t.Errorf("the spoke died too late: %v", err)
	}
	p.proxy.Set(proxy.Faults{Refuse: true})
	p.proxy.Cut()
	must(p.t, p.Start(p.t.Context()))
	p.arrives("accepted")
}

// killInApply: the spoke dies in the middle of an apply, after a request whose answer it never gets. Started again it
// ends what it began.
func killInApply(p *spoke) {
	const objects = 60
	many := map[string]string{}
	for i := range objects {
		name := fmt.Sprintf("object-%02d", i)
		many[name+".yaml"] = p.configMap(name, "one")
	}
	p.kube.plan(kill{method: "PATCH", nth: objects / 2, after: true})
	p.push("applied", many)
	p.kube.await()
	if n := p.objects(); n < objects/2-2 || n > objects/2 {
		// the two others of the commit may be among those that were sent
		p.t.Errorf("the spoke did not die in the middle: there are %d objects", n)
	}
	must(p.t, p.Start(p.t.Context()))
	p.arrives("applied")
	p.counts(objects)
}

// killInPrune: the spoke dies in the middle of deleting what left Git. Started again it deletes the rest, and nothing
// else.
func killInPrune(p *spoke) {
	const objects, leaving = 40, 15
	many, none := map[string]string{}, map[string]string{}
	for i := range objects {
		name := fmt.Sprintf("object-%02d", i)
		many[name+".yaml"] = p.configMap(name, "one")
		if i < leaving {
			none[name+".yaml"] = ""
		}
	}
	p.push("begin", many)
	p.counts(objects)
	p.kube.plan(kill{method: "DELETE", nth: leaving / 2, after: true})
	p.push("pruned", none)
	p.kube.await()
	if n := p.objects(); n != objects-leaving/2 {
		p.t.Errorf("the spoke did not die in the middle: there are %d objects", n)
	}
	must(p.t, p.Start(p.t.Context()))
	p.arrives("pruned")
	p.counts(objects - leaving)
}

// objects counts the ConfigMaps beside the two of each commit and Kubernetes' own.
func (p *spoke) objects() (n int) {
	p.t.Helper()
	for _, name := range p.configMaps() {
		if strings.HasPrefix(name, "object-") {
			n++
		}
	}
	return n
}

// counts waits until there are so many.
func (p *spoke) counts(want int) {
	p.t.Helper()
	eventually(p.t, often, fmt.Sprintf("there are %d objects", want), func(context.Context) error {
		if n := p.objects(); n != want {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// testHubKills kills the hub where a bundle is on its way: signed and not received, and received and not acknowledged.
func testHubKills(t *testing.T) {
	t.Parallel()
	s := newStand(t, lab, t.TempDir())
	before := settled(t, s.Hub)
	p := s.join(t, "hub-kills", nil)
	for _, fault := range []struct {
		name string
		play func(*spoke)
	}{{"sign_send", killBeforeSend}, {"send_ack", killBeforeAck}} {
		ok := t.Run(fault.name, func(t *testing.T) {
			p := *p
			p.t = t
			p.hold(func() { fault.play(&p) })
		})
		if !ok {
			return
		}
	}
	must(t, p.Stop())
	backAt(t, s.Hub, before)
}

// killBeforeSend: the hub dies after it signed a bundle, and before the spoke has any of it. Started again it offers
// the bundle.
func killBeforeSend(p *spoke) {
	signed := p.metric("nave_bundles_signed_total")
	p.proxy.Set(proxy.Faults{Hold: [2]bool{proxy.ToClient: true}})
	p.push("signed", nil)
	eventually(p.t, often, "the bundle is signed, and on its way", func(context.Context) error {
		if n, held := p.metric("nave_bundles_signed_total"), p.proxy.Waiting(proxy.ToClient); n == signed || held < 256 {
			return fmt.Errorf("%v bundles were signed, %d bytes are held", n-signed, held)
		}
		return nil
	})
	must(p.t, p.stand.Hub.Kill())
	p.proxy.Cut()
	if err := p.has(p.t.Context(), "app", "first"); err != nil {
		p.t.Errorf("the hub died too late: %v", err)
	}
	p.proxy.Clear()
	must(p.t, p.stand.Hub.Start(p.t.Context()))
	p.arrives("signed")
}

// killBeforeAck: the hub dies after the spoke applied a bundle, and before it hears so. The spoke's next hello says it.
func killBeforeAck(p *spoke) {
	p.proxy.Set(proxy.Faults{Hold: [2]bool{proxy.ToTarget: true}})
	p.push("applied", nil)
	p.arrives("applied")
	if err := p.ready(p.t.Context()); err == nil {
		p.t.Error("the hub heard of it")
	}
	must(p.t, p.stand.Hub.Kill())
	p.proxy.Cut()
	p.proxy.Clear()
	must(p.t, p.stand.Hub.Start(p.t.Context()))
}

// metric is a number of the hub's.
func (p *spoke) metric(name string) float64 {
	p.t.Helper()
	value, err := p.stand.Hub.Metric(p.t.Context(), name)
	must(p.t, err)
	return value
}
