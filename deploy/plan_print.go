package deploy

import (
	"fmt"
	"io"
)

// Format writes String for every verb: what is meant holds secrets.
func (p Plan) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, p.String()) }

// Format writes String for every verb: what is meant holds secrets.
func (c ClusterPlan) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }
