package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/navefleet/nave/e2e/fluxtest"
	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/kubetest"
)

const fluxReleases = "HelmRelease.helm.toolkit.fluxcd.io"

// helmController does in a cluster what Flux's helm-controller does with HelmReleases, by the real helm 4: it sets its
// finalizer, installs, upgrades when an object changed, leaves suspended objects alone, and uninstalls when an object
// is deleted that is not suspended.
type helmController struct {
	cluster  *kubetest.Cluster
	helm     helmtest.Helm
	checkout string            // with the charts
	done     map[string]string // by HelmRelease: the UID and generation that was installed or upgraded
	acts     []string          // what it did, such as "install life/web"
	failed   error
	mu       sync.Mutex // guards acts and failed
	stop     func()
}

// helmControllerCommand starts Flux's kinds and a helmController in a cluster, or says what the controller has done.
func helmControllerCommand(ctx context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("helmcontroller CLUSTER start | acts")
	}
	cluster, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	if args[1] == "acts" {
		s.helmController.mu.Lock()
		defer s.helmController.mu.Unlock()
		for _, act := range s.helmController.acts {
			fmt.Fprintln(&s.stdout, act)
		}
		return s.helmController.failed
	}
	definitions, err := fluxtest.Definitions()
	if err != nil {
		return err
	}
	for _, d := range definitions {
		if err := cluster.Apply(ctx, []byte(d)); err != nil {
			return err
		}
	}
	helm, err := helmtest.New(ctx, 4)
	if err != nil {
		return err
	}
	c := &helmController{cluster: cluster, helm: helm, checkout: s.repositories["repo"].WorkTree(),
		done: map[string]string{}}
	s.helmController = c
	c.start()
	s.cleanups = append(s.cleanups, c.end)
	return nil
}

// start runs the controller until stop is called.
func (c *helmController) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := c.reconcileAll(ctx); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				c.failed = err
				c.mu.Unlock()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	c.stop = func() { cancel(); running.Wait() }
}

// end stops the controller and takes its finalizers away.
func (c *helmController) end() error {
	c.stop()
	ctx := context.Background()
	all, err := c.list(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		err = errors.Join(err, c.finalize(ctx, &all[i], "null"))
	}
	return err
}

func (c *helmController) list(ctx context.Context) ([]unstructured.Unstructured, error) {
	r, err := c.cluster.Resource(fluxReleases, "")
	if err != nil {
		return nil, err
	}
	list, err := r.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func (c *helmController) reconcileAll(ctx context.Context) error {
	all, err := c.list(ctx)
	for i := range all {
		err = errors.Join(err, c.reconcile(ctx, &all[i]))
	}
	return err
}

func (c *helmController) finalize(ctx context.Context, o *unstructured.Unstructured, finalizers string) error {
	r, err := c.cluster.Resource(fluxReleases, o.GetNamespace())
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"metadata":{"finalizers":%s}}`, finalizers)
	_, err = r.Patch(ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "helm-controller"})
	return ignoreMissing(err)
}

func (c *helmController) reconcile(ctx context.Context, o *unstructured.Unstructured) error {
	suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
	switch {
	case o.GetDeletionTimestamp() != nil:
		if !suspended {
			if err := c.run(ctx, "uninstall", o); err != nil {
				return err
			}
		}
		return c.finalize(ctx, o, "null")
	case len(o.GetFinalizers()) == 0:
		return c.finalize(ctx, o, `["finalizers.fluxcd.io"]`)
	case suspended:
		return nil
	}
	key := o.GetNamespace() + "/" + o.GetName()
	version := fmt.Sprintf("%s %d", o.GetUID(), o.GetGeneration())
	if c.done[key] == version {
		return nil
	}
	if err := c.run(ctx, "upgrade", o); err != nil {
		return err
	}
	c.done[key] = version
	return ignoreMissing(c.cluster.EditStatus(ctx, fluxReleases, o.GetNamespace(), o.GetName(), fmt.Sprintf(
		`{"status":{"observedGeneration":%d,"conditions":[{"type":"Ready","status":"True","reason":"UpgradeSucceeded",`+
			`"message":"","lastTransitionTime":%q}]}}`, o.GetGeneration(), time.Now().UTC().Format(time.RFC3339))))
}

// run runs helm for a HelmRelease whose chart is in the checkout. The chart puts the labels of Flux on its objects.
func (c *helmController) run(ctx context.Context, act string, o *unstructured.Unstructured) error {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, append([]string{"spec"}, path...)...)
		return s
	}
	name, namespace := o.GetName(), o.GetNamespace()
	if target := text("targetNamespace"); target != "" {
		name, namespace = target+"-"+name, target
	}
	if given := text("releaseName"); given != "" {
		name = given
	}
	args := []string{act, name, "--namespace", namespace} // where the records are, too: spec.storageNamespace is the same
	if act == "upgrade" {
		values, _, _ := unstructured.NestedMap(o.Object, "spec", "values")
		if values == nil {
			values = map[string]any{}
		}
		values["fluxLabels"] = map[string]any{"helm.toolkit.fluxcd.io/name": o.GetName(),
			"helm.toolkit.fluxcd.io/namespace": o.GetNamespace()}
		data, err := json.Marshal(values)
		if err != nil {
			return err
		}
		args = append(args, filepath.Join(c.checkout, text("chart", "spec", "chart")), "--install", "--wait",
			"--take-ownership", "--set-json", string(data))
	}
	if _, err := c.helm.Run(ctx, c.cluster.Kubeconfig, args...); err != nil {
		return fmt.Errorf("helm %s %s: %w", act, name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acts = append(c.acts, act+" "+o.GetNamespace()+"/"+name)
	return nil
}
