package main

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/pflag"
)

// Media types of Flux's artifacts.
const (
	configType  types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	contentType types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// defaultIgnore are the paths that flux leaves out of an artifact.
var defaultIgnore = []string{".git/", ".gitignore", ".gitmodules", ".gitattributes", "*.jpg", "*.jpeg", "*.gif",
	"*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"}

// registryFlags are the flags of commands that talk to a registry.
type registryFlags struct {
	credentials, provider string
	insecure              bool
}

func (r *registryFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&r.credentials, "creds", "",
		"credentials for the registry as USERNAME:PASSWORD, or a token; default: those of ~/.docker/config.json")
	flags.StringVar(&r.provider, "provider", "generic",
		"provider of the registry; only generic: for a cloud, log in with its docker credential helper")
	flags.BoolVar(&r.insecure, "insecure-registry", false, "allow a registry without TLS")
}

// options returns the options of package remote.
func (r *registryFlags) options(ctx context.Context) ([]remote.Option, error) {
	if r.provider != "generic" {
		return nil, usageError("--provider=%s is not supported: log in with the docker credential helper of the cloud, "+
			"which ~/.docker/config.json names", r.provider)
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("nave")}
	username, password, both := strings.Cut(r.credentials, ":")
	switch {
	case r.credentials == "":
		return append(options, remote.WithAuthFromKeychain(authn.DefaultKeychain)), nil
	case both:
		auth := authn.FromConfig(authn.AuthConfig{Username: username, Password: password})
		return append(options, remote.WithAuth(auth)), nil
	default:
		return append(options, remote.WithAuth(authn.FromConfig(authn.AuthConfig{RegistryToken: r.credentials}))), nil
	}
}

// names returns the options of package name.
func (r *registryFlags) names() []name.Option {
	if r.insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

// reference reads oci://host/path:tag or @digest.
func (r *registryFlags) reference(address string) (name.Reference, error) {
	rest, ok := strings.CutPrefix(address, "oci://")
	if !ok {
		return nil, usageError("%q is not the address of an artifact: want oci://host/path:tag", address)
	}
	ref, err := name.ParseReference(rest, r.names()...)
	if err != nil {
		return nil, usageError("%q is not the address of an artifact: %w", address, err)
	}
	return ref, nil
}

// tag returns the reference of an address with a tag. If the address has a digest, tag returns an error.
func (r *registryFlags) tag(address string) (name.Tag, error) {
	ref, err := r.reference(address)
	if err != nil {
		return name.Tag{}, err
	}
	tag, ok := ref.(name.Tag)
	if !ok {
		return tag, usageError("%q has a digest: want oci://host/path:tag", address)
	}
	return tag, nil
}
