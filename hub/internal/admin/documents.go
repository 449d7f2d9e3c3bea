package admin

import (
	"context"
	"errors"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/seal"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Limits of one answer about encrypted documents.
const (
	maxDocuments     = 200
	maxDocumentBytes = 16 << 20 // of the files that are read for it
)

// encryption returns which keys the encrypted documents of one application need, and which its spoke has. If key names
// no application with encrypted documents, encryption returns nil.
func (s *Server) encryption(ctx context.Context, key api.Key) (*adminv1.Encryption, error) {
	if key.Name == "" || key.Cluster == "" || key.Role() != api.RenderableRole {
		return nil, nil
	}
	var facts fold.Facts
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		facts, _, err = fold.NewReader(tx).Read(key)
		return err
	})
	if err != nil || facts.Entry == nil {
		return nil, err
	}
	app, err := store.ReadApplication(ctx, s.store.Blobs(), facts.Entry.Digest)
	if err != nil || len(app.SealedFiles) == 0 {
		return nil, unlessLost(err)
	}
	e := &adminv1.Encryption{Object: fold.KeyMessage(key), Keys: facts.Report.GetKeys().GetNames(),
		KeysRead: facts.Report.GetKeys() != nil, KeysMissing: facts.Report.GetKeys().GetMissing()}
	read := map[manifest.Digest]bool{}
	size := 0
	for _, file := range app.SealedFiles {
		if read[file.Digest] {
			continue
		}
		read[file.Digest] = true
		if len(e.Documents) >= maxDocuments || size > maxDocumentBytes {
			e.Incomplete = true
			break
		}
		data, err := s.store.Blobs().Get(ctx, file.Digest)
		if err := unlessLost(err); err != nil {
			return nil, err
		}
		size += len(data)
		addDocuments(e, file, data)
	}
	return e, nil
}

// addDocuments adds the encrypted documents of a file, as far as there is room.
func addDocuments(e *adminv1.Encryption, file bundle.SealedFile, data []byte) {
	for _, d := range seal.Documents(data, file.Format) {
		if len(e.Documents) >= maxDocuments {
			e.Incomplete = true
			return
		}
		e.Documents = append(e.Documents, &adminv1.SealedDocument{
			Path: file.Path, Document: uint32(d.Index), Recipients: d.Recipients,
		})
	}
}

// unlessLost returns an error, or nil if a blob is lost or damaged: the hub makes it anew.
func unlessLost(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		return nil
	}
	return err
}
