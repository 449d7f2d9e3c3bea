package kube

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
)

// FieldManager is the name under which the spoke owns fields, and sends requests.
const FieldManager = "nave-spoke"

// Limits of a client's requests to its API server.
const (
	requestRate    = 2000             // requests a second, watches included
	concurrency    = 16               // requests at a time, watches not counted
	requestTimeout = 60 * time.Second // of one request, watches excepted
)

// Client talks to one cluster as one user. It is safe for concurrent use.
type Client struct {
	*connection
	user string // impersonated; empty: the account of the connection
}

// connection is shared by the clients of one cluster, also if their accounts differ.
type connection struct {
	base     *url.URL
	http     *http.Client
	limit    flowcontrol.RateLimiter
	slots    chan struct{}
	kinds    *kinds
	requests atomic.Uint64
}

// Connect returns a client with the account of a kubeconfig file; the account of this Pod if the path is empty. Connect
// sends no request: the first call finds out whether the API server answers.
func Connect(kubeconfig string) (*Client, error) {
	rc, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return connect(rc)
}

func connect(rc *rest.Config) (*Client, error) {
	rc.DisableCompression = true // the API server is near, and gzip costs both sides more than it saves
	rc.WarningHandler = rest.NoWarnings{}
	base, _, err := rest.DefaultServerUrlFor(rc)
	if err != nil {
		return nil, fmt.Errorf("address of the Kubernetes API %q: %w", rc.Host, err)
	}
	hc, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("TLS to the Kubernetes API %s: %w", base, err)
	}
	return &Client{connection: &connection{
		base: base, http: hc, kinds: newKinds(), slots: make(chan struct{}, concurrency),
		limit: flowcontrol.NewTokenBucketRateLimiter(requestRate, requestRate),
	}}, nil
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		rc, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("in-cluster account: %w (outside a Pod, give --kubeconfig)", err)
		}
		return rc, nil
	}
	rc, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return rc, nil
}

// As returns a client that impersonates a ServiceAccount of the cluster over the same connections. An empty or
// impossible name is an error: it must never fall back to the spoke's own, wider rights.
func (c *Client) As(namespace, serviceAccount string) (*Client, error) {
	if msgs := validation.IsDNS1123Label(namespace); len(msgs) > 0 {
		return nil, fmt.Errorf("impersonate ServiceAccount %q of namespace %q: namespace: %s", serviceAccount, namespace,
			strings.Join(msgs, ", "))
	}
	if msgs := validation.IsDNS1123Subdomain(serviceAccount); len(msgs) > 0 {
		return nil, fmt.Errorf("impersonate ServiceAccount %q of namespace %q: name: %s", serviceAccount, namespace,
			strings.Join(msgs, ", "))
	}
	return &Client{connection: c.connection, user: "system:serviceaccount:" + namespace + ":" + serviceAccount}, nil
}

// Requests returns how many requests were sent over this client's connections, retries and watches included.
func (c *connection) Requests() uint64 { return c.requests.Load() }
