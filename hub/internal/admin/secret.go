package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// credential is a Secret that the hub itself needs.
type credential struct {
	data    map[string][]byte
	kind    string
	binding api.Binding
	// shown: it is a credential as the hub shows it, without data. Only the names of its keys are known.
	shown string
}

// maxSecret is the largest credential, in bytes of data; Kubernetes' limit.
const maxSecret = 1 << 20

// keysAnnotation shows the names of a credential's keys, the only thing of its data that is ever shown.
const keysAnnotation = api.GroupFleet + "/keys"

// readSecret reads a Kubernetes Secret.
func readSecret(o *manifest.Object) (*credential, api.Key, error) {
	key := api.Key{Kind: api.SecretKind, Namespace: o.GetNamespace(), Name: o.GetName()}
	if key.Namespace == "" {
		key.Namespace = api.DefaultNamespace
	}
	problems := append(validation.IsDNS1123Subdomain(key.Name), validation.IsDNS1123Label(key.Namespace)...)
	if len(problems) > 0 {
		return nil, key, fmt.Errorf("%s: %s", key, strings.Join(problems, "; "))
	}
	c, err := readCredential(o)
	if err != nil {
		return nil, key, fmt.Errorf("%s: %w", key, err)
	}
	return c, key, nil
}

// readCredential reads the data, the type and the binding of a Secret.
func readCredential(o *manifest.Object) (*credential, error) {
	var s struct {
		Type       string            `json:"type"`
		Data       map[string][]byte `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	raw, err := json.Marshal(o.Object)
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil { // the error of encoding/json may quote a value; it is not passed on
		return nil, errors.New("data must be a map of base64 and stringData a map of text")
	}
	binding, err := api.ReadBinding(o.GetAnnotations())
	if err != nil {
		return nil, err
	}
	c := &credential{data: map[string][]byte{}, kind: cmp.Or(s.Type, "Opaque"), binding: binding}
	maps.Copy(c.data, s.Data)
	for k, v := range s.StringData {
		c.data[k] = []byte(v)
	}
	if c.shown = o.GetAnnotations()[keysAnnotation]; c.shown != "" && len(c.data) == 0 {
		return c, nil
	}
	size := 0
	for _, v := range c.data {
		size += len(v)
	}
	if len(c.data) == 0 || size > maxSecret {
		return nil, fmt.Errorf("%d bytes of data: want 1 to %d", size, maxSecret)
	}
	return c, nil
}

// applySecret seals a credential. The seal is different each time, so equality is looked for inside.
func (s *Server) applySecret(tx *store.Tx, key api.Key, c *credential) (action string, err error) {
	name := store.CredentialPath(key.Namespace, key.Name)
	row, there, err := store.Secrets.Get(tx, name)
	if err != nil {
		return "", err
	}
	if there && row.Type == c.kind && row.Binding.Equal(c.binding) && s.sealsSame(name, row, c) {
		return actionUnchanged, nil
	}
	if len(c.data) == 0 {
		same := there && row.Type == c.kind && row.Binding.Equal(c.binding) && strings.Join(row.Keys, ",") == c.shown
		return actionUnchanged, requireData(key, same)
	}
	action = actionConfigured
	if !there {
		action, row.Created = actionCreated, s.now().UTC()
	}
	if row.Sealed, err = s.vault.Seal(name, c.data); err != nil {
		return "", err
	}
	row.Type, row.Keys, row.Binding = c.kind, slices.Sorted(maps.Keys(c.data)), c.binding
	return action, store.Secrets.Put(tx, name, row)
}

// requireData returns an error about a credential without data, unless the hub has the same.
func requireData(key api.Key, same bool) error {
	if same {
		return nil
	}
	return status.Errorf(codes.InvalidArgument, "%s has no data, because nave get never prints it: apply the Secret from "+
		"where it was written", key)
}

// sealsSame reports whether the row has the same data. A row that cannot be opened counts as different.
func (s *Server) sealsSame(name string, row store.Secret, c *credential) bool {
	old, err := s.vault.Open(name, row.Sealed)
	return err == nil && maps.EqualFunc(old, c.data, bytes.Equal)
}

// showSecret returns a credential without its data.
func showSecret(key api.Key, row store.Secret) (*adminv1.Object, error) {
	annotations := row.Binding.Annotations()
	annotations[keysAnnotation] = strings.Join(row.Keys, ",")
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       api.SecretKind,
		"metadata": map[string]any{
			"namespace":         key.Namespace,
			"name":              key.Name,
			"creationTimestamp": wording.Time(row.Created),
			"annotations":       annotations,
		},
		"type": row.Type,
	})
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", key, err)
	}
	return &adminv1.Object{Key: fold.KeyMessage(key), Json: data,
		GivenBy: adminv1.GivenBy_GIVEN_BY_OPERATORS}, nil
}

// unreadable explains the hub's Secrets, of those that a key asks for, that the vault's key does not open.
func (s *Server) unreadable(ctx context.Context, key api.Key) (found []*adminv1.Explanation, err error) {
	if key.Cluster != "" || key.Kind != "" && key.Role() != api.CredentialRole {
		return nil, nil
	}
	prefix := ""
	if key.Namespace != "" {
		prefix = store.CredentialPath(key.Namespace, key.Name)
	}
	err = s.store.View(ctx, func(tx *store.Tx) error {
		found = nil
		return store.Secrets.Scan(tx, prefix, func(path string, row store.Secret) error {
			_, err := s.vault.Open(path, row.Sealed)
			if err == nil || key.Name != "" && path != prefix {
				return nil
			}
			found = append(found, &adminv1.Explanation{
				Object: fold.KeyMessage(store.CredentialKey(path)), Reason: condition.SecretUnreadable,
				Cause: condition.SecretUnreadable, Message: "it was encrypted with another vault.key than the hub has",
				Advice: "nave apply it again, or restore the vault.key that was made with the store.",
			})
			return nil
		})
	})
	return found, err
}
