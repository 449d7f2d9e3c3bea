// Command nave-spoke is the agent of one cluster: it dials the hub, verifies the signed bundles that the hub offers,
// applies them, and keeps it so.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/shared/daemon"
	"github.com/navefleet/nave/spoke"
)

// gcPercent trades a little processor time for memory: what an apply leaves behind is collected when the heap has grown
// by half instead of doubled. With 1,000 objects it takes 35 MiB instead of 37 and a tenth more time. GOGC overrides
// it.
const gcPercent = 50

func main() { daemon.Main(newCommand()) }

func newCommand() *cobra.Command {
	var c spoke.Config
	command := daemon.Command("nave-spoke", "The agent of one cluster: keeps it as the hub's signed bundle says",
		func(ctx context.Context, log *slog.Logger, limit int64) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			c.Log, c.MemoryLimit = log, limit
			return spoke.Run(ctx, c)
		})
	f := command.Flags()
	f.StringVar(&c.ConfigDir, "config-dir", "", "folder with the settings of the join manifest, one file each: hub, "+
		"cluster, trust-domain, ca-pin, replaces, signing-keys.pem")
	f.StringVar(&c.Hub, "hub", "", "host:port of the hub (default: file hub in --config-dir)")
	f.StringVar(&c.Cluster, "cluster", "", "name of this cluster at the hub (default: file cluster in --config-dir)")
	f.StringVar(&c.TrustDomain, "trust-domain", "",
		"SPIFFE trust domain of the hub (default: file trust-domain in --config-dir)")
	f.StringVar(&c.CAPin, "ca-pin", "", "sha256:… of the hub's certificate authority, which is checked when the spoke "+
		"registers (default: file ca-pin in --config-dir)")
	f.StringVar(&c.Replaces, "replaces", "",
		"name of the cluster that this one replaces (default: file replaces in --config-dir)")
	f.StringVar(&c.SigningKeysFile, "signing-keys", "", "file with the public keys that may sign bundles, PEM; read "+
		"again when the file changes (default: file signing-keys.pem in --config-dir)")
	f.StringVar(&c.PolicyFile, "policy", "", "file that says what bundles may do in this cluster; read again when the "+
		"file changes (default: bundles may do everything)")
	f.StringVar(&c.JoinTokenFile, "join-token-file", "", "file with the join token; read when the spoke registers")
	f.StringVar(&c.StateDir, "state-dir", "/var/lib/nave", "folder for the last verified bundle and the spoke's state")
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: the account of the Pod)")
	f.StringVar(&c.Namespace, "namespace", spoke.DefaultNamespace, "namespace of the spoke, where its identity is kept")
	f.StringVar(&c.Pod, "pod", "", "name of the Pod that this process runs in, whose image the hub may upgrade (default: "+
		"the name of the host, unless --kubeconfig is given)")
	f.StringVar(&c.HTTPListen, "http-listen", spoke.DefaultHTTPListen, "address for /metrics, /healthz and /readyz")
	f.BoolVar(&c.Profiles, "pprof", false, "serve Go's profiles at /debug/pprof/ of --http-listen, to whoever reaches it")
	f.StringVar(&c.DefaultServiceAccount, "default-service-account", "", "service account of applications that name "+
		"none, in the namespace of each application (default: the spoke's own rights)")
	f.StringVar(&c.KeyService, "key-service", "", "unix:///PATH of a SOPS key service (sops keyservice), which is asked "+
		"for keys of a cloud's KMS or a Vault (default: none)")
	f.StringSliceVar(&c.KeyServiceNamespaces, "key-service-namespaces", nil, "namespaces whose applications may ask the "+
		"key service although they have a service account (default: only applications without one may)")
	return command
}
