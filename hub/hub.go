// Package hub is the composition root of nave-hub: New builds the parts from a Config and opens the listeners, and Run
// runs the parts until its context ends.
//
// The parts share data only through the store. Package fetch writes the artifacts of sources, plan writes the plan of
// each cluster, publish signs the plan as a bundle, and dispatch sends the bundle to the spoke and writes the reports
// of spokes. Packages registration and admin answer callers.
//
// Layout of the data folder:
//
//	hub.db         the store
//	ca/            ca.crt, ca.key: the authority of hub, clusters and operators; its trust domain
//	signing.key    signs bundles
//	vault.key      encrypts credentials in the store
//	operator.yaml  the first operator's context for the CLI; written once, and anew if its certificate is not valid
//	backup.sock    where nave-hub backup asks the running hub
//	sources/       caches and artifacts; may be deleted while the hub is stopped
package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/admin"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/backup"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/dispatch"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/publish"
	"github.com/navefleet/nave/hub/internal/registration"
	"github.com/navefleet/nave/hub/internal/signer"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/plugin"
	"github.com/navefleet/nave/hub/internal/source/tags"
	fetchworker "github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/stages"
	"github.com/navefleet/nave/hub/internal/statemetrics"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/hub/internal/upgrade"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
)

// maxRecords is how many bytes of memory the newest records of the log may need.
const maxRecords = 2 << 20

// Hub is one hub. Make it with New.
type Hub struct {
	config     Config
	records    *telemetry.Records // the newest of the log
	store      *store.Store
	authority  *identity.Authority
	signer     *signer.Keys
	vault      *store.Vault
	credential *identity.Credential
	registry   *prometheus.Registry
	workers    []io.Closer // pools of processes

	fetch    *fetch.Loop
	plan     *plan.Planner
	upgrade  *upgrade.Loop
	stages   *stages.Loop
	publish  *publish.Publisher
	dispatch *dispatch.Server
	admin    *admin.Server
	states   *statemetrics.Collector
	trace    *trace.Tracer // nil: nobody takes traces

	listener, httpListener net.Listener
	backups                net.Listener // package backup
	passed                 *passed      // from grpc to strangers
	grpc                   *grpc.Server // of callers with a certificate
	strangers              *grpc.Server // of callers without
	http                   *http.Server
	health                 *health.Server
	serving                atomic.Bool
}

// New opens the data folder, makes the missing files of a new folder, and listens. The caller must call Run, which also
// closes the hub. If another hub uses the folder, New returns store.ErrLocked. Other errors are a missing key in a used
// folder, the errors of files and sockets, and that of ctx, which bounds New only.
func New(ctx context.Context, c Config) (h *Hub, err error) {
	if c, err = c.withDefaults(); err != nil {
		return nil, fmt.Errorf("start hub: %w", err)
	}
	var records *telemetry.Records
	c.Log, records = telemetry.Keep(c.Log, maxRecords)
	h = &Hub{config: c, records: records, registry: telemetry.NewRegistry(version.Build()),
		credential: &identity.Credential{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start hub: %w", err), h.close())
			h = nil
		}
	}()
	for _, step := range []func() error{
		h.openStore, func() error { return h.loadKeys(ctx) }, h.listen, h.renewCertificate, h.writeOperatorConfig, h.build,
	} {
		if err = step(); err != nil {
			return h, err
		}
	}
	return h, nil
}

// openStore opens the store in the data folder. The store is locked, so that a second hub cannot open it.
func (h *Hub) openStore() (err error) {
	if err = os.MkdirAll(h.config.DataDir, 0o700); err != nil {
		return err
	}
	if h.store, err = store.Open(h.path(backup.Database)); err != nil {
		return err
	}
	h.listenForBackups()
	return nil
}

func (h *Hub) path(name string) string { return filepath.Join(h.config.DataDir, name) }

// listen opens both sockets, so that Addr and HTTPAddr are known before Run.
func (h *Hub) listen() (err error) {
	if h.listener, err = net.Listen("tcp", h.config.Listen); err != nil {
		return err
	}
	h.httpListener, err = net.Listen("tcp", h.config.HTTPListen)
	return err
}

// build makes the parts.
func (h *Hub) build() error {
	c := h.config
	renderer, err := h.renderer()
	fetcher, err2 := h.fetcher()
	network, err3 := h.network()
	plugins, err4 := h.plugins()
	helpers, err5 := plugin.ParseGitHelpers(c.CredentialHelpers)
	dockerHelpers, err6 := h.dockerHelpers()
	if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
		return err
	}
	if c.Trace.URL != "" {
		h.trace = h.tracer()
	}
	artifacts := artifact.New(c.SourceDir)
	h.fetch = fetch.New(fetch.Config{
		Store: h.store, Vault: h.vault, Artifacts: artifacts, Fetcher: fetcher, Network: network, Plugins: plugins,
		RemoteBaseHosts: c.RemoteBaseHosts, NoCrossNamespaceRefs: c.NoCrossNamespaceRefs, GitHelpers: helpers,
		DockerHelpers: dockerHelpers, Log: c.Log, Metrics: h.registry, Trace: h.trace, Now: c.Now,
	})
	h.plan = plan.New(plan.Config{
		Store: h.store, Artifacts: artifacts, Renderer: renderer,
		NoCrossNamespaceRefs: c.NoCrossNamespaceRefs, LenientSubstitution: c.LenientSubstitution, Guard: c.Guard,
		RemoteBases: c.remoteBases(),
		Log:         c.Log, Metrics: h.registry, Trace: h.trace, Now: c.Now,
	})
	h.upgrade = upgrade.New(upgrade.Config{Store: h.store, Log: c.Log, Now: c.Now})
	h.stages = stages.New(stages.Config{Store: h.store, Log: c.Log, Now: c.Now})
	h.publish = publish.New(publish.Config{
		Store: h.store, Signer: h.signer, TrustDomain: h.authority.TrustDomain(), TTL: c.BundleTTL,
		Log: c.Log, Metrics: h.registry, Trace: h.trace, Now: c.Now,
	})
	h.dispatch = dispatch.New(dispatch.Config{
		Store: h.store, TrustDomain: h.authority.TrustDomain(), Log: c.Log, Metrics: h.registry, Trace: h.trace,
		Now: c.Now,
	})
	h.admin = admin.New(admin.Config{
		Store: h.store, Vault: h.vault, Ask: h.ask, Preview: h.preview, Schemas: h.dispatch, Logs: h.dispatch,
		Records: h.records, Keys: h.signer, Tags: tags.In(c.SourceDir), Issuer: h.authority, Log: c.Log,
		Now: c.Now,
		Join: admin.Join{
			TrustDomain: h.authority.TrustDomain(),
			CAPin:       h.authority.Pin(),
			Address:     h.advertised(),
			SpokeImage:  c.SpokeImage,
		},
	})
	h.states = statemetrics.New(statemetrics.Config{
		Store: h.store, Limit: c.MetricsResources, Log: c.Log, Metrics: h.registry, Now: c.Now,
	})
	h.newServers(registration.New(registration.Config{
		Store: h.store, Authority: h.authority, TTL: c.CertificateTTL, Log: c.Log, Metrics: h.registry, Now: c.Now,
	}))
	return nil
}

// tracer returns the exporter of traces.
func (h *Hub) tracer() *trace.Tracer {
	c := h.config.Trace
	c.Version, _ = version.Build()
	c.Epoch, c.Log, c.Metrics = h.store.Epoch(), h.config.Log, h.registry
	return trace.New(c)
}

// ask signs a preview, and asks the spoke of a cluster. It is an admin.Asker.
func (h *Hub) ask(ctx context.Context, cluster string, apps []bundle.Entry, content map[manifest.Digest][]byte) (
	[]*spokev1.ApplicationPreview, error) {
	envelope, needs, err := h.publish.SignPreview(cluster, apps)
	if err != nil {
		return nil, err
	}
	return h.dispatch.Preview(ctx, dispatch.Question{Cluster: cluster, Envelope: envelope, Features: needs,
		Content: content})
}

// preview returns what a run would push. It is an admin.Previewer.
func (h *Hub) preview(ctx context.Context, key api.Key) (*adminv1.PreviewImageUpdateResponse, error) {
	p, err := h.fetch.Preview(ctx, key)
	answer := &adminv1.PreviewImageUpdateResponse{Checkout: p.Checkout, Problems: p.Problems, Unpushed: p.Unpushed}
	for _, c := range p.Commits {
		answer.Commits = append(answer.Commits, &adminv1.PreviewedCommit{References: c.Targets, Message: c.Message,
			Diff: c.Diff})
	}
	return answer, err
}

// fetcher returns the fetchers of all kinds, in worker processes or in this one.
func (h *Hub) fetcher() (source.Fetcher, error) {
	all := fetchworker.All()
	if len(h.config.FetchWorker) > 0 {
		pool, err := fetchworker.New(fetchworker.Config{
			Command: h.config.FetchWorker, Workers: fetch.Workers, Log: h.config.Log,
		})
		if err != nil {
			return nil, err
		}
		h.workers = append(h.workers, pool)
		for kind := range all {
			all[kind] = pool
		}
	}
	maps.Copy(all, h.config.Fetchers)
	return all, nil
}

// plugins returns a function that gets credentials from the credential provider plugins. If none are configured,
// plugins returns nil.
func (h *Hub) plugins() (func(context.Context, string, bool) (source.Secret, error), error) {
	c := h.config
	if c.CredentialProviderConfig == "" {
		return nil, nil
	}
	p, err := plugin.Load(c.CredentialProviderConfig, c.CredentialProviderBinDir)
	if err != nil {
		return nil, err
	}
	return p.Credentials, nil
}

// dockerHelpers returns a function that gets credentials from credential helpers of Docker. If no folder of them is
// configured, dockerHelpers returns nil.
func (h *Hub) dockerHelpers() (func(ctx context.Context, name, server string) (source.DockerConfig, error), error) {
	if h.config.DockerCredentialHelperDir == "" {
		return nil, nil
	}
	helpers, err := plugin.LoadDockerHelpers(h.config.DockerCredentialHelperDir)
	if err != nil {
		return nil, err
	}
	return helpers.Credentials, nil
}

// network returns the policy for the servers that sources may name, which never includes the hub itself.
func (h *Hub) network() (dial.Policy, error) {
	allow, err := dial.ParsePrefixes(h.config.AllowSourceAddresses)
	deny, hosts, err2 := dial.ParseDenied(h.config.DenySourceAddresses)
	return dial.Policy{
		Deny:        deny,
		DenyHosts:   hosts,
		Allow:       allow,
		DenyPrivate: h.config.DenyPrivateSources,
		Own:         append([]string{h.Addr().String(), h.HTTPAddr().String()}, h.config.Advertise...),
		Proxies:     dial.ProxiesOfEnvironment(),
	}, errors.Join(err, err2)
}

// Addr returns the address at which the hub serves gRPC.
func (h *Hub) Addr() net.Addr { return h.listener.Addr() }

// HTTPAddr returns the address at which the hub serves metrics and health.
func (h *Hub) HTTPAddr() net.Addr { return h.httpListener.Addr() }

// OperatorConfig returns the path of the file with the first operator's context, for the CLI.
func (h *Hub) OperatorConfig() string { return h.path("operator.yaml") }
