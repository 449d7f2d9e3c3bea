package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// published is what the hub released, and the objects of the hub.
type published struct {
	client    adminv1.AdminServiceClient
	epoch     uint64
	objects   []*api.Object
	owned     map[api.Key]api.Key // owners of the objects that no operator gave
	suspended map[api.Key]bool    // by an operator, of the hub and of clusters
	pins      map[string]*adminv1.Pin
	clusters  map[string]map[bundle.ApplicationName]publishedApplication
	graphs    map[string]map[api.Key]plan.Known // objects of the clusters' graphs
	// capabilities identifies what the spoke of each cluster reported about its API server.
	capabilities map[string]string
	// unreadable has the clusters whose release cannot be read, and why.
	unreadable map[string]string
}

// publishedApplication is one Application as it was released to a cluster.
type publishedApplication struct {
	key    api.Key
	parent bundle.ApplicationName
	fleet  string
	digest manifest.Digest
	pinned uint32 // the revision that a release of Helm stays at; 0: it is not pinned
	// told is what its chart was told about the release; nil: the hub is too old to say so.
	told *api.ReleaseState
	// local is set if the hub does not have the Application: it is of the checkout.
	local *plan.PreviewedApplication

	orphaned       bool // nothing gives it any more, and it stays
	orphanOnDelete bool // it stays when its parent is deleted
	pruneDisabled  bool // it stays when its parent does not give it any more, also if the parent prunes
}

// askPublished asks the hub what it released to clusters; to all if none is named. With graphs, it also asks for the
// objects of their graphs.
func askPublished(ctx context.Context, client adminv1.AdminServiceClient, clusters []string, graphs bool) (*published,
	error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream after an error
	stream, err := client.Published(ctx, &adminv1.PublishedRequest{Clusters: clusters, Graphs: graphs})
	if err != nil {
		return nil, err
	}
	p := &published{client: client, owned: map[api.Key]api.Key{}, suspended: map[api.Key]bool{},
		pins: map[string]*adminv1.Pin{}, unreadable: map[string]string{},
		clusters: map[string]map[bundle.ApplicationName]publishedApplication{},
		graphs:   map[string]map[api.Key]plan.Known{}, capabilities: map[string]string{}}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err == nil {
			err = p.add(part)
		}
		if err != nil {
			return nil, err
		}
	}
}

// add adds one part of the answer.
func (p *published) add(part *adminv1.PublishedResponse) error {
	if hub := part.GetHub(); hub != nil {
		p.epoch = hub.GetEpoch()
		for _, o := range hub.GetObjects() {
			if err := p.addObject(o); err != nil {
				return err
			}
		}
		return nil
	}
	c := part.GetCluster()
	if c.GetUnreadable() != "" {
		p.unreadable[c.GetCluster()] = c.GetUnreadable()
		return nil
	}
	if p.clusters[c.GetCluster()] == nil {
		p.clusters[c.GetCluster()] = map[bundle.ApplicationName]publishedApplication{}
	}
	for _, a := range c.GetApplications() {
		digest, err := manifest.ParseDigest(a.GetDigest())
		if err != nil {
			return fmt.Errorf("%s of the hub: %w", show(a.GetKey()), err)
		}
		key := keyOf(a.GetKey())
		p.clusters[key.Cluster][key.Application()] = publishedApplication{
			key: key, parent: keyOf(a.GetParent()).Application(), fleet: a.GetFleet(), digest: digest,
			orphaned: a.GetOrphaned(), orphanOnDelete: a.GetOrphanOnDelete(), pruneDisabled: a.GetPruneDisabled(),
			pinned: a.GetPinnedRevision(), told: toldOf(a.GetTold()),
		}
	}
	if id := c.GetCapabilities(); id != "" {
		p.capabilities[c.GetCluster()] = id
	}
	if c.GetPin() != nil {
		p.pins[c.GetCluster()] = c.GetPin()
	}
	for _, key := range c.GetSuspended() {
		p.suspended[keyOf(key)] = true
	}
	for _, o := range c.GetObjects() {
		if err := p.addKnown(c.GetCluster(), o); err != nil {
			return err
		}
	}
	return nil
}

// toldOf returns what a chart was told about its release; nil if the hub does not say so.
func toldOf(m *adminv1.ToldRelease) *api.ReleaseState {
	if m == nil {
		return nil
	}
	return &api.ReleaseState{Upgrade: m.GetUpgrade(), Last: int(m.GetLast())}
}

// addKnown adds an object of a cluster's graph.
func (p *published) addKnown(cluster string, o *adminv1.HubObject) error {
	admitted, err := readmit(&adminv1.Object{Json: o.GetJson()}, api.ClusterGraph)
	if err != nil {
		return err
	}
	k := plan.Known{Object: admitted, Owner: keyOf(o.GetOwner()), Suspended: o.GetSuspended()}
	if len(o.GetConfined()) > 0 {
		if err := json.Unmarshal(o.GetConfined(), &k.Confined); err != nil {
			return fmt.Errorf("limits of %s of the hub: %w", admitted.Key, err)
		}
	}
	if p.graphs[cluster] == nil {
		p.graphs[cluster] = map[api.Key]plan.Known{}
	}
	p.graphs[cluster][admitted.Key.In(cluster)] = k
	return nil
}

func (p *published) addObject(o *adminv1.HubObject) error {
	admitted, err := readmit(&adminv1.Object{Json: o.GetJson()}, api.Hub)
	if err != nil {
		return err
	}
	p.objects = append(p.objects, admitted)
	if o.GetSuspended() {
		p.suspended[admitted.Key] = true
	}
	if o.GetOwner() != nil {
		p.owned[admitted.Key] = keyOf(o.GetOwner())
	}
	return nil
}

// selection is the part of the fleet that is compared.
type selection struct {
	clusters    []string               // nil: all
	fleet       string                 // only Applications of this Fleet; empty: of any
	application bundle.ApplicationName // zero: all
	below       bool                   // also the Applications below the application
}

// in returns the names of the selected clusters, sorted.
func (s selection) in(v *plan.Preview, released *published) ([]string, error) {
	if s.clusters != nil {
		return s.clusters, nil
	}
	found := map[string]bool{}
	if s.fleet != "" && slices.Contains(v.Fleets(), s.fleet) {
		selected, err := v.Selected(s.fleet)
		if err != nil {
			return nil, err
		}
		for _, name := range selected {
			found[name] = true
		}
	}
	for name, apps := range released.clusters {
		for _, a := range apps {
			found[name] = found[name] || a.fleet == s.fleet || s.fleet == ""
		}
	}
	if s.fleet == "" {
		for _, name := range v.Clusters() {
			found[name] = true
		}
	}
	maps.DeleteFunc(found, func(name string, is bool) bool { return !is || !slices.Contains(v.Clusters(), name) })
	if len(found) == 0 && s.fleet != "" && !slices.Contains(v.Fleets(), s.fleet) {
		return nil, fmt.Errorf("there is no %s", api.FleetKey(s.fleet))
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// find returns an error if the selected Application is neither in the walks nor in what was released to their clusters.
func (s selection) find(released *published, all []*outlook) error {
	if s.application == (bundle.ApplicationName{}) {
		return nil
	}
	for _, o := range all {
		p := o.resumed
		key := api.ApplicationKey(p.Cluster, s.application)
		_, was := released.clusters[p.Cluster][s.application]
		if _, is := p.Nodes[key]; is || was {
			return nil
		}
		for _, problem := range p.Problems {
			if problem.Key == key {
				return nil // it is refused
			}
		}
	}
	where := "any cluster"
	if s.clusters != nil {
		where = "cluster " + listed(s.clusters)
	}
	return fmt.Errorf("%s does not exist: neither the checkout nor the hub gives it to %s; see nave get %ss -A",
		api.ApplicationKey("", s.application), where, strings.ToLower(s.application.Kind))
}

// isAbout reports whether an Application is selected, or one below it may be.
func (s selection) isAbout(name bundle.ApplicationName, k *keeper) bool {
	return s.application == (bundle.ApplicationName{}) || s.application == name || s.below || k.gives(name)
}

// has reports whether an Application is selected. parentOf returns the parent of an Application; zero: none.
func (s selection) has(name bundle.ApplicationName, fleet string,
	parentOf func(bundle.ApplicationName) bundle.ApplicationName) bool {
	if s.fleet != "" && s.fleet != fleet {
		return false
	}
	if s.application == (bundle.ApplicationName{}) || s.application == name {
		return true
	}
	for n := 0; s.below && n < maxAbove && name != (bundle.ApplicationName{}); n++ {
		if name = parentOf(name); name == s.application {
			return true
		}
	}
	return false
}

// maxAbove bounds the owners above an Application, because they may form a cycle.
const maxAbove = 100

// content asks the hub for an Application, or for objects of it.
func content(ctx context.Context, client adminv1.AdminServiceClient, a publishedApplication,
	objects []manifest.Digest) (map[manifest.Digest][]byte, error) {
	request := &adminv1.PublishedContentRequest{Digest: a.digest.String(), Key: fold.KeyMessage(a.key)}
	for _, d := range objects {
		request.Objects = append(request.Objects, d.String())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.PublishedContent(ctx, request)
	if err != nil {
		return nil, err
	}
	found, data := map[manifest.Digest][]byte{}, []byte(nil)
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if data = append(data, piece.GetData()...); !piece.GetLast() {
			continue
		}
		d := manifest.DigestOf(data)
		if d.String() != piece.GetDigest() {
			return nil, fmt.Errorf("%s: the hub sent other bytes than those of %s", a.key, piece.GetDigest())
		}
		found[d], data = data, nil
	}
}
