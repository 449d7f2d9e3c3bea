package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/navefleet/nave/shared/wording"
)

// DockerConfigKey is the key of a Secret of type kubernetes.io/dockerconfigjson.
const DockerConfigKey = ".dockerconfigjson"

// DockerConfig is the credentials of registries by the address that a Docker configuration names: a host, with or
// without scheme and path. A label of the host may be *.
type DockerConfig map[string]authn.AuthConfig

// ReadDockerConfig reads the Docker configuration in a Secret. Errors are ErrAuthentication and name the key.
func ReadDockerConfig(data Secret) (DockerConfig, error) {
	value, ok := data[DockerConfigKey]
	if !ok {
		return nil, SecretError(errors.New("it has no key " + DockerConfigKey + ": want a Secret of type " +
			"kubernetes.io/dockerconfigjson (kubectl create secret docker-registry)"))
	}
	c := readDockerConfig(value)
	if c == nil {
		return nil, SecretError(fmt.Errorf("%s is not the JSON of a Docker configuration with auths", DockerConfigKey))
	}
	return c, nil
}

// dockerFile is Docker's config.json.
type dockerFile struct {
	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

// readDockerConfig returns nil if the text is not a Docker configuration. Entries without credentials are left out.
func readDockerConfig(text []byte) DockerConfig {
	var f dockerFile
	if json.Unmarshal(text, &f) != nil || f.Auths == nil && f.CredHelpers == nil && f.CredsStore == "" {
		return nil
	}
	return f.config()
}

func (f dockerFile) config() DockerConfig {
	found := DockerConfig{}
	for address, raw := range f.Auths {
		var a authn.AuthConfig
		if json.Unmarshal(raw, &a) == nil && a != (authn.AuthConfig{}) {
			found[address] = a
		}
	}
	return found
}

// Data returns the configuration as the data of a Secret.
func (c DockerConfig) Data() (Secret, error) {
	text, err := json.Marshal(map[string]any{"auths": c})
	return Secret{DockerConfigKey: text}, err
}

// For returns the credentials for a repository of a registry, as the kubelet chooses them: those with the longest path
// that leads to the repository. The repository may be empty.
func (c DockerConfig) For(host, repository string) (best authn.AuthConfig, ok bool) {
	longest := -1
	for _, address := range slices.Sorted(maps.Keys(c)) { // * comes before letters
		itsHost, itsPath := splitAddress(address)
		leads := itsPath == "" || repository == itsPath || strings.HasPrefix(repository, itsPath+"/")
		if leads && sameRegistry(itsHost, host) && len(itsPath) >= longest {
			best, ok, longest = c[address], true, len(itsPath)
		}
	}
	return best, ok
}

// Addresses lists the addresses for messages.
func (c DockerConfig) Addresses() string {
	var all []string
	for address := range c {
		host, rest := splitAddress(address)
		all = append(all, path.Join(host, rest))
	}
	slices.Sort(all)
	return wording.List(all, len(all), 5)
}

// splitAddress returns host and path of an address such as https://index.docker.io/v1/ or ghcr.io/org.
func splitAddress(address string) (host, rest string) {
	_, after, ok := strings.Cut(address, "://")
	if !ok {
		after = address
	}
	host, rest, _ = strings.Cut(after, "/")
	rest = strings.Trim(rest, "/")
	if rest == "v1" || rest == "v2" {
		rest = ""
	}
	return strings.ToLower(host), rest
}

// dockerHub is the address of Docker Hub in Docker configurations.
const dockerHub = "https://index.docker.io/v1/"

// CredentialHelper returns the name of the credential helper that the Docker configuration of a Secret names for a
// repository of a registry, and the server to ask it for. The name is empty if there is none, or if the configuration
// has credentials for the repository itself.
func CredentialHelper(data Secret, host, repository string) (name, server string) {
	var f dockerFile
	if json.Unmarshal(data[DockerConfigKey], &f) != nil {
		return "", ""
	}
	if _, has := f.config().For(host, repository); has {
		return "", ""
	}
	server = strings.ToLower(host)
	if sameRegistry("docker.io", server) {
		server = dockerHub
	}
	for _, address := range slices.Sorted(maps.Keys(f.CredHelpers)) {
		if itsHost, _ := splitAddress(address); sameRegistry(itsHost, host) {
			return f.CredHelpers[address], server
		}
	}
	return f.CredsStore, server
}

// WithCredentials returns the data of a Secret whose Docker configuration has more credentials.
func WithCredentials(data Secret, more DockerConfig) (Secret, error) {
	c, err := ReadDockerConfig(data)
	if err != nil {
		return nil, err
	}
	maps.Copy(c, more)
	added, err := c.Data()
	all := maps.Clone(data)
	maps.Copy(all, added)
	return all, err
}

// sameRegistry reports whether a pattern, whose labels may be *, names a host. Docker Hub has several names.
func sameRegistry(pattern, host string) bool {
	hub := []string{"docker.io", "index.docker.io", "registry-1.docker.io"}
	if slices.Contains(hub, pattern) {
		return slices.Contains(hub, host)
	}
	labels, wanted := strings.Split(pattern, "."), strings.Split(strings.ToLower(host), ".")
	return slices.EqualFunc(labels, wanted, func(label, name string) bool { return label == name || label == "*" })
}
