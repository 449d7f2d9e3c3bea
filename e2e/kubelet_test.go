package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

var kubeletCommands = map[string]command{
	// kubelet CLUSTER…: from now on the spoke is the process of the Pod that its Deployment has there: it starts anew with
	// each new Pod
	"kubelet": kubelet,
}

// kubelet plays the kubelet for the Pods of spokes: all other Pods are simulated as a whole.
func kubelet(ctx context.Context, s *story, args []string) error {
	if len(args) == 0 {
		return errors.New("kubelet CLUSTER…")
	}
	for _, name := range args {
		p, err := s.spoke(name)
		if err != nil {
			return err
		}
		pod, err := nextPod(ctx, p.Cluster, "")
		if err != nil {
			return err
		}
		if err := restart(ctx, p, pod); err != nil {
			return err
		}
		follow, cancel := context.WithCancel(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- followPods(follow, p, pod) }()
		s.cleanups = append(s.cleanups, func() error {
			cancel()
			return errors.Join(<-stopped, p.Stop())
		})
	}
	return nil
}

// followPods starts a spoke anew with each new Pod until the context ends.
func followPods(ctx context.Context, p *harness.Spoke, pod string) (err error) {
	for ctx.Err() == nil && err == nil {
		if pod, err = nextPod(ctx, p.Cluster, pod); err == nil {
			err = restart(ctx, p, pod)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// nextPod waits until the Deployment of the spoke has another running Pod than the last.
func nextPod(ctx context.Context, c *kubetest.Cluster, last string) (name string, err error) {
	pods, err := c.Resource("Pod", ours)
	if err != nil {
		return "", err
	}
	err = kubetest.Until(ctx, "a new Pod of the spoke", func(ctx context.Context) error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=nave-spoke"})
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			phase, _ := field(&o, ".status.phase")
			if o.GetDeletionTimestamp() == nil && phase == "Running" && o.GetName() != last {
				name = o.GetName()
				return nil
			}
		}
		return fmt.Errorf("%d Pods, none is new and runs", len(list.Items))
	})
	return name, err
}

// restart starts the process of a spoke anew as that of a Pod.
func restart(ctx context.Context, p *harness.Spoke, pod string) error {
	if err := p.Stop(); err != nil {
		return err
	}
	p.Args = append(slices.DeleteFunc(p.Args, func(arg string) bool { return strings.HasPrefix(arg, "--pod=") }),
		"--pod="+pod)
	return p.Start(ctx)
}
