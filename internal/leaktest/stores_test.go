package leaktest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/seal"
	"github.com/stretchr/testify/require"
)

// bolt keeps the world's records in a file, free pages and all.
func (w *world) bolt() {
	file := filepath.Join(w.dir, "records.db")
	d, err := boltrecords.Open(file, nil)
	require.NoError(w.t, err)
	w.open(storage.NewRecords(d, nil))
	w.stored = w.files
}

// files are those with records.
func (w *world) files() map[string][]byte {
	all := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(w.dir, "*.db"))
	require.NoError(w.t, err)
	for _, file := range files {
		all[filepath.Base(file)] = must(os.ReadFile(file))
	}
	return all
}

// open makes the world's keys: those of a file, wrapped by a KMS and back.
func (w *world) open(records *storage.Records) {
	t := w.t
	w.records = records
	t.Cleanup(func() { _ = records.Close() })
	file := filepath.Join(w.dir, "keys.json")
	keys, err := seal.OpenOrCreateKeyFile(file)
	w.ok("a key file", err)
	w.known(keys)
	wrapped, err := keys.MarshalWrapped(t.Context(), kms{0x5a})
	w.ok("wrapping", err)
	_, _ = w.at("wrapped keys").Write(wrapped)
	_, err = seal.ParseKeyFile(wrapped)
	w.fails("reading wrapped keys as a key file", err)
	_, err = seal.ParseWrapped(t.Context(), keys.MarshalKeyFile(), kms{0x5a})
	w.fails("reading a key file as wrapped keys", err)
	_, err = seal.ParseWrapped(t.Context(), wrapped, kms{0})
	w.fails("unwrapping with another KMS", err)
	whole := keys.MarshalKeyFile()
	for at := range whole {
		if _, err := seal.ParseKeyFile(bytes.Replace(whole, whole[at:at+1], []byte("!"), 1)); err != nil {
			w.unfold("errors of odd key files", err)
		}
		if _, err := seal.ParseKeyFile(whole[:at]); err != nil {
			w.unfold("errors of odd key files", err)
		}
	}
	w.keys, err = seal.ParseWrapped(t.Context(), wrapped, kms{0x5a})
	w.ok("unwrapping", err)
	w.hear("keys", w.keys)
	w.hear("keys", w.keys.Keys())
}

// rotate adds a key.
func (w *world) rotate() {
	key, err := w.keys.Rotate(nil)
	w.ok("a rotation", err)
	w.hear("keys", key)
	w.known(w.keys)
	w.ok("writing the key file", w.keys.WriteKeyFile(filepath.Join(w.dir, "keys.json")))
}

// known makes the secrets of keys credentials to look for.
func (w *world) known(keys *seal.Keyring) {
	var file struct {
		Keys []struct {
			ID     string `json:"id"`
			Secret []byte `json:"secret"`
		} `json:"keys"`
	}
	require.NoError(w.t, json.Unmarshal(keys.MarshalKeyFile(), &file))
	require.NotEmpty(w.t, file.Keys)
	for _, k := range file.Keys {
		w.finder.Add("key "+k.ID, k.Secret)
	}
}

// kms wraps keys by a secret that it does not have to tell.
type kms struct{ mask byte }

func (k kms) WrapKey(_ context.Context, _ string, secret []byte) ([]byte, error) {
	out := bytes.Clone(secret)
	for i := range out {
		out[i] ^= k.mask
	}
	return out, nil
}

func (k kms) UnwrapKey(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	if k.mask == 0 {
		return nil, errors.New("the KMS is not there")
	}
	return k.WrapKey(ctx, id, wrapped)
}

// newFleet is a fleet in the world's records that logs, and is audited.
func (w *world) newFleet(o cluster.FleetOptions, h *hub) *cluster.Fleet {
	o.Keys, o.Providers, o.Logger = w.keys, providers(), w.logger
	if h != nil {
		o.Providers["tunnel"] = h.provider()
	}
	o.Cluster.Attempts, o.CheckInterval, o.CheckTimeout = 1, time.Second, 2*time.Second
	fleet, err := cluster.NewFleet(w.records, &o)
	w.ok("a fleet", err)
	w.hear("the options of a fleet", o)
	w.hear("the options of a fleet", &o)
	w.t.Cleanup(func() { _ = fleet.Close() })
	return fleet
}

// moved moves all records to another store, by way of an export.
func (w *world) moved() {
	var export bytes.Buffer
	_, err := w.records.Export(w.t.Context(), &export)
	w.ok("an export", err)
	_, _ = w.at("an export").Write(export.Bytes())
	file := filepath.Join(w.dir, "imported-"+rand.Text()+".db")
	d, err := boltrecords.Open(file, nil)
	require.NoError(w.t, err)
	other := storage.NewRecords(d, nil)
	defer other.Close()
	_, err = other.Import(w.t.Context(), bytes.NewReader(export.Bytes()), nil)
	w.ok("an import", err)
	damaged := bytes.Clone(export.Bytes())
	damaged[len(damaged)/2] ^= 1
	_, err = other.Import(w.t.Context(), bytes.NewReader(damaged), nil)
	w.fails("an import of a damaged export", err)
	for rec, err := range w.records.List(w.t.Context(), "") {
		w.ok("a list of records", err)
		w.hear("a record", rec)
	}
}
