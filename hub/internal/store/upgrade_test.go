package store_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// earlier are rows as the first hubs of layout 1 wrote them: those that cannot be made again.
var earlier = map[string]map[string]string{
	"resources": {
		"/Cluster//east": `{"key":{"kind":"Cluster","name":"east"},"object":{"apiVersion":"fleet.nave.io/v1alpha1",` +
			`"kind":"Cluster","metadata":{"labels":{"env":"prod"},"name":"east"},"spec":{"vars":{"region":"eu"}}},` +
			`"uid":"u1","generation":3,"created":"2026-01-02T03:04:05Z","requestedAt":"r1","suspended":true,` +
			`"stopRepair":true,"suspendedAt":"2026-02-02T03:04:05Z"}`,
		"east/Kustomization/apps/web": `{"key":{"cluster":"east","kind":"Kustomization","namespace":"apps","name":"web"},` +
			`"object":{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"web",` +
			`"namespace":"apps"},"spec":{"interval":"1m","prune":true}},"uid":"u2","generation":1,` +
			`"created":"2026-01-02T03:04:05Z","owner":{"kind":"Fleet","name":"all"},"left":true,"outlives":true,"held":true}`,
	},
	"confirmations": {"/Cluster//east": `{"removals":{"east/Kustomization/apps/web":"2026-01-02T03:04:05Z"}}`},
	"desireds": {"east": `{"bundle":{"epoch":7,"sequence":9,"digest":"` + sealedDigest + `"},"envelope":"` +
		base64.StdEncoding.EncodeToString([]byte("signed")) +
		`","expiresAt":"2026-03-02T03:04:05Z","changedAt":"2026-01-02T03:04:05Z"}`},
	"spokes": {"east": `{"registeredAt":"2026-01-02T03:04:05Z","registration":"0123456789ab",` +
		`"certificateExpiry":"2026-03-02T03:04:05Z","connected":true,"since":"2026-01-02T03:04:05Z",` +
		`"acks":{"applied":{"epoch":7,"sequence":9,"digest":"` + sealedDigest + `"}}}`},
	"jointokens": {"sha256:00": `{"cluster":"east","createdAt":"2026-01-02T03:04:05Z",` +
		`"expiresAt":"2026-01-02T04:04:05Z","usedAt":"2026-01-02T03:14:05Z","usedBy":"` + sealedDigest + `"}`},
	"secrets": {"apps/git": `{"sealed":"c2VhbGVk","keys":["password"],"type":"Opaque","created":"2026-01-02T03:04:05Z",` +
		`"binding":{"hosts":["git.example.com"],"namespaces":["team"]}}`},
}

var sealedDigest = manifest.DigestOf([]byte("signed")).String()

// writeEarlier writes a file with the buckets and rows of an earlier hub, and with the epoch 7.
func writeEarlier(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		for table, rows := range earlier {
			b, err := tx.CreateBucket([]byte(table))
			for key, row := range rows {
				err = errors.Join(err, b.Put([]byte(key), []byte(row)))
			}
			if err != nil {
				return err
			}
		}
		return errors.Join(meta.Put([]byte("layout"), []byte{0, 0, 0, 0, 0, 0, 0, 1}),
			meta.Put([]byte("epoch"), []byte{0, 0, 0, 0, 0, 0, 0, 7}))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestUpgrade: what cannot be made again survives an upgrade: operators' objects, registrations, join tokens,
// sequences, credentials and confirmations.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	writeEarlier(t, path)
	s := open(t, path)
	defer s.Close()
	expect(t, "epoch", s.Epoch(), 7)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	id := bundle.ID{Epoch: 7, Sequence: 9, Digest: manifest.DigestOf([]byte("signed"))}
	view(t, s, func(tx *store.Tx) error {
		cluster, _, err := store.Resources.Get(tx, "/Cluster//east")
		if err != nil {
			return err
		}
		c, err := cluster.Object.Cluster()
		if err != nil {
			return err
		}
		expect(t, "cluster", fmt.Sprint(c.Spec.Vars, cluster.Object.Labels(), cluster.UID, cluster.Generation,
			cluster.Created, cluster.Suspended, cluster.StopRepair, cluster.SuspendedAt.Month()),
			fmt.Sprint(map[string]string{"region": "eu"}, map[string]string{"env": "prod"}, "u1", 3, at, true, true,
				time.February))
		web, _, err := store.Resources.Get(tx, "east/Kustomization/apps/web")
		expect(t, "web", fmt.Sprint(web.Owner, web.Orphaned, web.OrphanOnDelete, web.Held),
			fmt.Sprint(api.FleetKey("all"), true, true, true))
		word, _, err2 := store.Confirmations.Get(tx, store.ConfirmationKey("east"))
		expect(t, "confirmation", word.Removals["east/Kustomization/apps/web"], at)
		signed, _, err3 := store.SignedBundles.Get(tx, "east")
		expect(t, "bundle", fmt.Sprint(signed.Bundle, string(signed.Envelope)), fmt.Sprint(id, "signed"))
		spoke, _, err4 := store.Spokes.Get(tx, "east")
		expect(t, "spoke", fmt.Sprint(spoke.RegisteredAt, spoke.Acks[bundle.Applied], spoke.Counts("0123456789ab", at),
			spoke.Counts("another", at)), fmt.Sprint(at, id, true, false))
		token, _, err5 := store.JoinTokens.Get(tx, "sha256:00")
		expect(t, "token", fmt.Sprintln(token.Cluster, token.UsedBy, token.UsedAt.Minute()),
			fmt.Sprintln("east", sealedDigest, 14))
		secret, _, err6 := store.Secrets.Get(tx, "apps/git")
		expect(t, "secret", fmt.Sprintln(string(secret.Sealed), secret.Keys, secret.Binding.Hosts, secret.Binding.Namespaces),
			"sealed [password] [git.example.com] [team]\n")
		return errors.Join(err, err2, err3, err4, err5, err6)
	})
	expect(t, "index", ofKind(t, s, ""), []string{"/Cluster//east", "east/Kustomization/apps/web"})
}
