package boltrecords

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingTurnsFlushesOff: a process that is killed loses nothing even if
// nothing is flushed, for the kernel keeps its writes; a machine that loses
// its power would lose what was acknowledged. So the switches are looked at.
func TestNothingTurnsFlushesOff(t *testing.T) {
	t.Parallel()
	r, err := Open(filepath.Join(t.TempDir(), "db"), nil)
	require.NoError(t, err)
	defer r.Close()
	require.False(t, r.db.NoSync)
	require.False(t, r.db.NoGrowSync)
	require.False(t, r.db.NoFreelistSync)
}
