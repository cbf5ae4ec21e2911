package team

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// samples are stored documents of the first format.
func samples() map[string]any {
	at := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	e := storage.Envelope{Format: 1, MinReader: 1}
	return map[string]any{
		"team": document{Envelope: e, Team: Team{ID: "blue", DisplayName: "Blue", Members: []Member{{Subject: "ada", Role: "releaser"}},
			Roles: []Role{{Name: "releaser", Permissions: []Permission{"application:deploy"}}}, Quota: cluster.Amounts{"cpu": "10"}, Drift: Show,
			Clusters: map[string]Allocation{"eu-1": {Namespaces: []Namespace{{Name: "blue", Adopt: true, Quota: cluster.Amounts{"cpu": "1"}}},
				Quota: cluster.Amounts{"cpu": "5"}, Defaults: cluster.Amounts{"cpu": "50m"}, PodSecurity: Restricted, CountSurge: true, Hosts: []string{"*.example.com"},
				Network: Network{From: []string{"ingress"}, Internet: true}, NodePool: map[string]string{"pool": "blue"}, Permits: []Permit{PermitDaemons}}}},
			Leaving: []string{"eu-2/blue"}, Deleting: &deletion{Since: at, Data: DataKeep}},
		"ledger": ledgerDoc{Envelope: e, Reservations: map[string]Reservation{"eu-1 blue/shop": {Application: "blue/shop", Cluster: "eu-1",
			Amounts: cluster.Amounts{"cpu": "1"}, Open: true, At: at}}},
		"condition": conditionDoc{Envelope: e, Namespaces: map[string]string{"blue": "uid"}, Condition: Condition{Cluster: "eu-1", State: Drifted, Since: at, Checked: at,
			Changes: []Change{{Object: driver.Ref{APIVersion: "v1", Kind: "ResourceQuota", Namespace: "blue", Name: "appspan-team"}, Action: ActionUpdate, Fields: []string{"spec.hard"}}},
			Refused: []string{"no"}, Warnings: []string{"ah"}, Error: "oh", History: []Finding{{At: at, State: Drifted, Error: "oh"}}}},
		"claim":       claim{Envelope: e, Team: "blue", At: at},
		"credentials": credentialsDoc{Envelope: e, Registries: []string{"registry.example.com"}, Sealed: []byte("sealed"), At: at},
		"audit": auditDoc{e, appspan.AuditEntry{Time: at, Subject: appspan.Subject{ID: "ada", Team: "blue"}, Outcome: "ok",
			Access: appspan.Access{Verb: appspan.VerbDeploy, Resource: "application"}}},
	}
}

func TestWhatWasStoredStaysReadable(t *testing.T) {
	t.Parallel()
	for name, sample := range samples() {
		file := filepath.Join("testdata", "compat", name+"-1.json")
		want, err := json.MarshalIndent(sample, "", "  ")
		require.NoError(t, err)
		if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, append(want, '\n'), 0o644))
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var got any
		switch sample.(type) {
		case document:
			var d document
			require.NoError(t, storage.Decode(data, teamFormat, &d))
			got = d
		case ledgerDoc:
			got, err = decodeLedger(data)
			require.NoError(t, err)
		case conditionDoc:
			got, err = decodeCondition(data, "eu-1")
			require.NoError(t, err)
		case claim:
			var d claim
			require.NoError(t, storage.Decode(data, 1, &d))
			got = d
		case credentialsDoc:
			var d credentialsDoc
			require.NoError(t, storage.Decode(data, 1, &d))
			got = d
		case auditDoc:
			var d auditDoc
			require.NoError(t, storage.Decode(data, 1, &d))
			got = d
		}
		require.Equal(t, sample, got)
	}
}

func TestANewerTeamIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	const newer = `{"format":9,"minReader":9,"id":"blue"}`
	_, err := records.Put(t.Context(), teamKey("blue"), []byte(newer), "")
	require.NoError(t, err)
	clusters, err := cluster.NewSet()
	require.NoError(t, err)
	teams, err := New(records, clusters, &Options{Installation: "test", Authorizer: appspan.AllowAll{}})
	require.NoError(t, err)
	_, err = teams.Update(t.Context(), "blue", func(tm *Team) error { tm.DisplayName = "x"; return nil })
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	rec, err := records.Get(t.Context(), teamKey("blue"))
	require.NoError(t, err)
	require.Equal(t, newer, string(rec.Value))
}

func TestAConditionStaysSmall(t *testing.T) {
	t.Parallel()
	var p ClusterPlan
	for i := range 1000 {
		p.Changes = append(p.Changes, Change{Object: driver.Ref{APIVersion: "v1", Kind: "Secret", Name: strconv.Itoa(i)}, Action: ActionUpdate, Error: strings.Repeat("x", 9000), Fields: []string{strings.Repeat("y", 9000)}})
	}
	d := conditionDoc{}
	for range 60 {
		require.True(t, d.take(p, time.Now()))
		p.Changes = p.Changes[1:]
	}
	data, err := d.encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), maxCondition)
	require.Len(t, d.History, maxFindings)
}

func FuzzDecode(f *testing.F) {
	for _, sample := range samples() {
		data, err := json.Marshal(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if d, err := decodeTeam(storage.Record{Key: teamKey("blue"), Value: data}); err == nil {
			_ = d.Validate()
			_, _ = Render(d.Team, "eu-1", "test")
			_ = d.involved()
		}
		if d, err := decodeLedger(data); err == nil {
			_, _ = d.used("")
		}
		if d, err := decodeCondition(data, "eu-1"); err == nil {
			_ = d.take(ClusterPlan{Cluster: "eu-1"}, time.Now())
			_ = Drift{Conditions: []Condition{d.Condition}}.String()
		}
	})
}
