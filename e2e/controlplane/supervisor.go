package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

type options struct {
	dir   string
	nodes int
	audit bool
}

// ready is the line that "up" prints when the cluster can be used.
type ready struct {
	Server     string `json:"server"`
	Kubeconfig string `json:"kubeconfig"` // of a cluster admin
	AuditLog   string `json:"auditLog,omitempty"`
}

// cluster is one running control plane.
type cluster struct {
	options
	server string
	ca     *authority
	etcd   string
	failed chan error // the first component that ends
}

// supervise starts the components in order, prints the ready line, and stops them in reverse when ctx ends or a
// component does.
func supervise(ctx context.Context, o options, out io.Writer) error {
	if o.dir == "" {
		return errors.New("--dir is required")
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	c := &cluster{options: o, failed: make(chan error, 8)}
	etcd, err := c.startEtcd()
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	processes, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := c.start(ctx, processes); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(c.describe()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.failed:
		return err
	}
}

func (c *cluster) describe() ready {
	r := ready{Server: c.server, Kubeconfig: c.path("admin.kubeconfig")}
	if c.audit {
		r.AuditLog = c.path("audit.log")
	}
	return r
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// startEtcd embeds etcd. It does not fsync: a test's cluster need not survive the machine.
func (c *cluster) startEtcd() (*embed.Etcd, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	client, peer := loopback("http", ports[0]), loopback("http", ports[1])
	cfg := embed.NewConfig()
	cfg.Dir = c.path("etcd")
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	cfg.LogLevel = "error"
	cfg.LogOutputs = []string{c.path("etcd.log")}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(time.Minute):
		etcd.Close()
		return nil, errors.New("not ready after a minute")
	}
	c.etcd = client.String()
	return etcd, nil
}

func loopback(scheme string, port int) url.URL {
	return url.URL{Scheme: scheme, Host: fmt.Sprintf("127.0.0.1:%d", port)}
}

// freePorts asks the kernel for ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func (c *cluster) start(ctx, processes context.Context) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	server := loopback("https", ports[0])
	c.server = server.String()
	if err := c.writeConfiguration(); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	c.run(processes, "kube-apiserver", c.apiserverFlags(ports[0])...)
	if err := c.waitForServer(ctx); err != nil {
		return err
	}
	c.run(processes, "kube-controller-manager", c.controllerManagerFlags()...)
	c.run(processes, "kube-scheduler", "--kubeconfig="+c.path("scheduler.kubeconfig"), "--leader-elect=false",
		"--secure-port=0",
		"--authentication-kubeconfig="+c.path("scheduler.kubeconfig"),
		"--authorization-kubeconfig="+c.path("scheduler.kubeconfig"))
	c.run(processes, "kwok", "--kubeconfig="+c.path("kwok.kubeconfig"), "--config="+c.path("stages.yaml"),
		"--manage-all-nodes=true",
		"--node-ip=127.0.0.1", "--cidr=10.244.0.0/16", "--node-lease-duration-seconds=40")
	return c.waitForNodes(ctx)
}

func (c *cluster) writeConfiguration() (err error) {
	if c.ca, err = newAuthority(c.path("pki")); err != nil {
		return err
	}
	if err := errors.Join(c.ca.issue("apiserver", "kube-apiserver"),
		c.ca.issue("service-account", "service-account")); err != nil {
		return err
	}
	for file, user := range map[string][]string{
		"admin":              {"admin", "system:masters"},
		"controller-manager": {"system:kube-controller-manager"},
		"scheduler":          {"system:kube-scheduler"},
		"kwok":               {"kwok", "system:masters"},
	} {
		if err := c.ca.kubeconfig(c.path(file+".kubeconfig"), c.server, user[0], user[1:]...); err != nil {
			return err
		}
	}
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"
	return errors.Join(os.WriteFile(c.path("stages.yaml"), []byte(stages), 0o600),
		os.WriteFile(c.path("audit.yaml"), []byte(policy), 0o600))
}

func (c *cluster) apiserverFlags(port int) []string {
	flags := []string{
		"--etcd-servers=" + c.etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + c.ca.path("apiserver.crt"), "--tls-private-key-file=" + c.ca.path("apiserver.key"),
		"--client-ca-file=" + c.ca.path("ca.crt"),
		"--service-account-key-file=" + c.ca.path("service-account.crt"),
		"--service-account-signing-key-file=" + c.ca.path("service-account.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=Node,RBAC",
		"--event-ttl=10m", "--profiling=false",
	}
	if c.audit {
		flags = append(flags, "--audit-policy-file="+c.path("audit.yaml"), "--audit-log-path="+c.path("audit.log"))
	}
	return flags
}

func (c *cluster) controllerManagerFlags() []string {
	return []string{
		"--kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + c.path("controller-manager.kubeconfig"),
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.ca.path("service-account.key"),
		"--root-ca-file=" + c.ca.path("ca.crt"),
		"--leader-elect=false", "--secure-port=0",
		"--controllers=*,-node-ipam-controller,-horizontal-pod-autoscaler-controller",
	}
}

// run starts a component as a process that dies with this one, its output in DIR/COMPONENT.log.
func (c *cluster) run(ctx context.Context, component string, flags ...string) {
	go func() {
		// The kernel sends the parent-death signal when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		c.failed <- fmt.Errorf("%s ended: %w\n%s", component, c.runProcess(ctx, component, flags), c.logTail(component))
	}()
}

func (c *cluster) runProcess(ctx context.Context, component string, flags []string) error {
	log, err := os.Create(c.path(component + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{component}, flags...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+c.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Run(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// logTail returns the end of a component's log, where it says why it ended.
func (c *cluster) logTail(component string) string {
	b, err := os.ReadFile(c.path(component + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

func (c *cluster) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.path("admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// waitForServer returns when the API server says that it is ready.
func (c *cluster) waitForServer(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.poll(ctx, "kube-apiserver ready", func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// waitForNodes creates the nodes and returns when all are ready and the default service account exists.
func (c *cluster) waitForNodes(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	for i := range c.nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i+1),
			Labels: map[string]string{"kubernetes.io/os": "linux"}}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil &&
			!apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s: %w", node.Name, err)
		}
	}
	return c.poll(ctx, "nodes ready", func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range nodes.Items {
			if !isReady(node) {
				return fmt.Errorf("%s is not ready", node.Name)
			}
		}
		_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func isReady(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// poll calls check until it succeeds, for at most two minutes, or until a component ends.
func (c *cluster) poll(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case failed := <-c.failed:
			return failed
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, err)
		}
	}
}
