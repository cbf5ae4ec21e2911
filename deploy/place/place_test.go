package place_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/place"
)

var clusters = []place.Cluster{
	{Name: "eu-1", Labels: map[string]string{"region": "eu", "tier": "gold"}},
	{Name: "cn-2", Labels: map[string]string{"region": "cn"}},
	{Name: "cn-1", Labels: map[string]string{"region": "cn", "tier": "gold"}},
}

func TestNamesAndLabelsMustBothHold(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]appmodel.ClusterSelector{
		"[cn-1 cn-2 eu-1]": {},
		"[cn-1 cn-2]":      {Labels: map[string]string{"region": "cn"}},
		"[cn-1]":           {Labels: map[string]string{"region": "cn", "tier": "gold"}},
		"[eu-1]":           {Names: []string{"eu-1", "us-1"}},
		"[]":               {Names: []string{"eu-1"}, Labels: map[string]string{"region": "cn"}},
	} {
		require.Equal(t, want, fmt.Sprint(place.Choose(s, clusters)))
	}
	require.False(t, place.Matches(appmodel.ClusterSelector{Labels: map[string]string{"tier": ""}}, clusters[1]), "a label that is not there is not an empty one")
}

func ExampleChoose() {
	fmt.Println(place.Choose(appmodel.ClusterSelector{Labels: map[string]string{"tier": "gold"}}, clusters))
	// Output: [cn-1 eu-1]
}
