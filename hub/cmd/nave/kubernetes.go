package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/navefleet/nave/shared/manifest"
)

const (
	maxAnswer = 256 << 20 // bytes of one page of a cluster's answer
	pageSize  = 500       // objects
)

// kubernetes reads a cluster. It changes nothing there.
type kubernetes struct {
	base  *url.URL
	http  *http.Client
	needs string // what an account needs that is refused, for messages
}

// connectKubernetes returns a reader of the cluster that a kubeconfig names, as kubectl chooses it. needs says what an
// account needs, for messages; it may be empty.
func connectKubernetes(kubeconfig, kubecontext, needs string) (*kubernetes, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: kubecontext}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.WarningHandler = rest.NoWarnings{}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("address of the cluster %q: %w", config.Host, err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("TLS to the cluster %s: %w", base, err)
	}
	return &kubernetes{base: base, http: client, needs: needs}, nil
}

// Versions implements migrate.API.
func (k *kubernetes) Versions(ctx context.Context, group string) ([]string, error) {
	var answer metav1.APIGroup
	if found, err := k.get(ctx, "/apis/"+group, nil, &answer); !found || err != nil {
		return nil, err
	}
	versions := []string{answer.PreferredVersion.Version}
	for _, v := range answer.Versions {
		if v.Version != answer.PreferredVersion.Version {
			versions = append(versions, v.Version)
		}
	}
	for _, v := range versions {
		if len(validation.IsDNS1123Label(v)) > 0 {
			return nil, fmt.Errorf("the cluster serves %s in version %q, which cannot be", group, v)
		}
	}
	return versions, nil
}

// List implements migrate.API.
func (k *kubernetes) List(ctx context.Context, group, version, resource, selector string) (objects []*manifest.Object,
	err error) {
	query := url.Values{"limit": {fmt.Sprint(pageSize)}}
	if selector != "" {
		query.Set("labelSelector", selector)
	}
	for {
		var page struct {
			Metadata metav1.ListMeta
			Items    []map[string]any
		}
		found, err := k.get(ctx, strings.Join([]string{"/apis", group, version, resource}, "/"), query, &page)
		if !found || err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			objects = append(objects, &manifest.Object{Object: item})
		}
		if page.Metadata.Continue == "" {
			return objects, nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
}

// get reads a path of the API. If the cluster does not serve it, get returns false.
func (k *kubernetes) get(ctx context.Context, path string, query url.Values, into any) (found bool, err error) {
	return k.send(ctx, http.MethodGet, path, query, nil, into)
}

// review creates an object that the API server only answers, and stores nowhere.
func (k *kubernetes) review(ctx context.Context, path string, object, into any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	found, err := k.send(ctx, http.MethodPost, path, nil, body, into)
	if err == nil && !found {
		err = fmt.Errorf("the cluster does not serve %s", path)
	}
	return err
}

func (k *kubernetes) send(ctx context.Context, method, path string, query url.Values, content []byte, into any) (
	found bool, err error) {
	u := *k.base
	u.Path = strings.TrimRight(u.Path, "/") + path
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(content))
	if err != nil {
		return false, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "nave")
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := k.http.Do(request)
	if err != nil {
		return false, fmt.Errorf("ask the cluster: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return false, fmt.Errorf("read %s of the cluster: %w", path, err)
	case answer.StatusCode == http.StatusNotFound:
		return false, nil
	case answer.StatusCode/100 != 2:
		return false, fmt.Errorf("read %s of the cluster: %w", path, k.refusal(answer.Status, body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, fmt.Errorf("read %s of the cluster: %w", path, err)
	}
	return true, nil
}

// refusal returns the message of an answer of the API that is an error.
func (k *kubernetes) refusal(code string, body []byte) error {
	var status metav1.Status
	if json.Unmarshal(body, &status) != nil || status.Message == "" {
		return fmt.Errorf("HTTP %s", code)
	}
	if k.needs == "" {
		return errors.New(status.Message)
	}
	return fmt.Errorf("%s (the account needs %s)", status.Message, k.needs)
}
