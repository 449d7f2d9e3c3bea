package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// root is the hub's own root in Git, as the flags of "bootstrap" describe it.
type root struct {
	name, url, branch, path string
	interval                time.Duration
	username, passwordFile  string
	identity, knownHosts    string
	caFile, secret          string
}

// bootstrapName is the default name of the GitRepository and the Kustomization that nave bootstrap makes.
const bootstrapName = "hub"

func newBootstrapCommand(s *session) *cobra.Command {
	var r root
	var agreed agreement
	cmd := &cobra.Command{
		SuggestFor: []string{"install"}, // flux's
		Use:        "bootstrap --url URL --path PATH",
		Short:      "Give the hub a root of its own in Git: the clusters, fleets and sources found there are its state",
		Example: "  nave bootstrap --url https://git.example.com/fleet --branch main --path hub\n" +
			"  nave bootstrap --url ssh://git@git.example.com/fleet --path hub --private-key-file id_ed25519 " +
			"--known-hosts-file known_hosts",
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			manifest, err := r.manifest(s.namespace)
			if err != nil {
				return err
			}
			request, err := agreed.toApply(cmd, client, manifest)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
			defer cancel()
			return bootstrap(ctx, newProgress(cmd), client, s.namespace, r.name, request)
		}),
	}
	r.addFlags(cmd.Flags())
	agreed.flag(cmd)
	_ = cmd.MarkFlagRequired("url")
	return cmd
}

func (r *root) addFlags(f *pflag.FlagSet) {
	f.StringVar(&r.name, "name", bootstrapName, "name of the GitRepository and the Kustomization")
	f.StringVar(&r.url, "url", "", "repository: https://, http:// or ssh://")
	f.StringVar(&r.branch, "branch", "main", "branch to follow")
	f.StringVar(&r.path, "path", "", "folder of the repository that holds the hub's objects; . is the whole repository")
	f.DurationVar(&r.interval, "interval", time.Minute, "how often to look for new commits")
	f.StringVar(&r.username, "username", "git", "user name for HTTPS with --password-file")
	f.StringVar(&r.passwordFile, "password-file", "", "file with the password or token for HTTPS")
	f.StringVar(&r.identity, "private-key-file", "", "file with the private key for SSH")
	f.StringVar(&r.knownHosts, "known-hosts-file", "", "file with the server's host keys for SSH")
	f.StringVar(&r.caFile, "ca-file", "", "file with the certificate authority of the Git server")
	f.StringVar(&r.secret, "secret-ref", "", "use the credentials of this Secret of the hub")
}

func bootstrap(ctx context.Context, p *progress, client adminv1.AdminServiceClient, namespace, name string,
	request *adminv1.ApplyRequest) error {
	if err := apply(ctx, p.out, client, request); err != nil {
		return err
	}
	// The present conditions of the objects may be old: of a time without an artifact, or with a wrong password.
	key := &adminv1.ObjectKey{Kind: api.KustomizationKind, Namespace: namespace, Name: name}
	asked, err := client.Reconcile(ctx, &adminv1.ReconcileRequest{Key: key, WithSource: true})
	if err != nil {
		return err
	}
	return waitHandled(ctx, p, client, key, asked, true, handling(asked.GetRequestedAt()))
}

// scpAddress is the address of a repository in the syntax of scp, as Git takes it: user@host:path.
var scpAddress = regexp.MustCompile(`^([^/@:\s]+@[^/:\s]+):([^/\s]\S*)$`)

// manifest returns the objects of the root as one manifest.
func (r root) manifest(namespace string) ([]byte, error) {
	if r.path == "" {
		return nil, usageError("--path is missing: name the folder of the repository that holds the hub's objects, such as " +
			"--path hub; --path . takes the whole repository")
	}
	if m := scpAddress.FindStringSubmatch(r.url); m != nil {
		return nil, usageError("--url %s is not a URL: write ssh://%s/%s", r.url, m[1], m[2])
	}
	credentials, err := r.credentials()
	if err != nil {
		return nil, err
	}
	metadata := map[string]any{"name": r.name, "namespace": namespace}
	source := map[string]any{"url": r.url, "interval": r.interval.String(), "ref": map[string]any{"branch": r.branch}}
	reference := map[string]any{"kind": api.GitRepositoryKind, "name": r.name}
	objects := []map[string]any{
		{"apiVersion": api.GroupSource + "/v1", "kind": api.GitRepositoryKind, "metadata": metadata, "spec": source},
		{"apiVersion": api.GroupKustomize + "/v1", "kind": api.KustomizationKind, "metadata": metadata,
			"spec": map[string]any{"interval": "10m", "prune": true, "path": r.path, "sourceRef": reference}},
	}
	secret := r.secret
	if len(credentials) > 0 {
		o, err := r.bound(namespace, credentials)
		if err != nil {
			return nil, err
		}
		secret, objects = r.name, append(objects, o)
	}
	if secret != "" {
		source["secretRef"] = map[string]any{"name": secret}
	}
	text, err := documents(objects...)
	return []byte(text), err
}

// bound returns a Secret with the credentials. Its hosts annotation names the server of the repository.
func (r root) bound(namespace string, credentials map[string]any) (map[string]any, error) {
	host, err := api.HostOf(r.url)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	return map[string]any{
		"apiVersion": "v1", "kind": api.SecretKind, "stringData": credentials,
		"metadata": map[string]any{"name": r.name, "namespace": namespace,
			"annotations": map[string]any{api.HostsAnnotation: host}},
	}, nil
}

// credentials reads the files that the flags name, under the keys of Flux's Git secrets.
func (r root) credentials() (map[string]any, error) {
	data := map[string]any{}
	for key, file := range map[string]string{"password": r.passwordFile, "identity": r.identity,
		"known_hosts": r.knownHosts, "ca.crt": r.caFile} {
		if file == "" {
			continue
		}
		b, err := readInput(nil, file)
		if err != nil {
			return nil, err
		}
		if key == "password" {
			b = bytes.TrimSpace(b)
			data["username"] = r.username
		}
		data[key] = string(b)
	}
	if r.secret != "" && len(data) > 0 {
		return nil, usageError("give either --secret-ref or files with credentials")
	}
	return data, nil
}
