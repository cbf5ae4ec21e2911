package team

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// The labels of what a team is on a cluster.
const (
	// LabelTeam is the team's ID. Only operators of a cluster can set labels
	// of namespaces, which is why those say whose a namespace is.
	LabelTeam = "appspan.dev/team"
	// LabelInstallation is the installation of the embedding program.
	LabelInstallation = "appspan.dev/installation"
	// LabelTeamPart says what an object is to its team: "quota", "member", ….
	LabelTeamPart = "appspan.dev/team-part"
	// AnnotationMember, on a member's ServiceAccount, is the subject's ID.
	AnnotationMember = "appspan.dev/member"
)

const (
	labelManagedBy = "app.kubernetes.io/managed-by"

	objectName    = "appspan-team"     // of a team's own objects in its namespaces
	reserved      = "appspan-team"     // prefix of names that applications may not use
	membersPrefix = "appspan-members-" // of the namespace of members' accounts
)

// Identity is who Appspan acts as on clusters when it works for a team: a user
// whose only rights are those of the team's Roles, and of everybody.
func Identity(team string) driver.Identity { return cluster.TeamIdentity(team) }

// MembersNamespace is the namespace that holds the ServiceAccounts of all
// members of all teams of an installation. No team has a right in it, so that
// no pod can run as a member.
func MembersNamespace(installation string) string { return membersPrefix + installation }

// AccountName is the name of a member's ServiceAccount.
func AccountName(team, subject string) string { return team + "-" + digest(subject) }

// digest shortens any text to what can stand in a name.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// manager is the field manager of what is written for teams.
func manager(installation string) string { return "appspan-teams-" + installation }
