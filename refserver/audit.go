package refserver

import (
	"context"
	"net/http"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/refserver/client"
)

func (s *Server) auditRoutes() []*route {
	return []*route{
		op("GET", "/audit", "listAudit", "audit", "What was done, the newest first: in the team that you act for, or everywhere", s.listAudit).asks("audit", appspan.VerbRead),
		streaming("GET", "/audit/export", "exportAudit", "audit", "The same, the oldest first, a JSON object a line", "application/x-ndjson", s.exportAudit).asks("audit", appspan.VerbRead),
	}
}

type auditIn struct {
	From    time.Time `query:"from"`
	Until   time.Time `query:"until"`
	Subject string    `query:"subject"`
}

// query is what of the audit log is asked for, if the subject may read it.
func (in *auditIn) query(ctx context.Context, c *call) (team.AuditQuery, error) {
	q := team.AuditQuery{From: in.From, Until: in.Until, Subject: in.Subject, Team: c.subject().Team}
	return q, appspan.Authorize(ctx, c.Authorizer, c.subject(), appspan.Access{Verb: appspan.VerbRead, Resource: "audit", Team: c.subject().Team})
}

type listAuditIn struct {
	page
	auditIn
}

func (s *Server) listAudit(ctx context.Context, c *call, in *listAuditIn) (client.List[appspan.AuditEntry], error) {
	out := client.List[appspan.AuditEntry]{Items: []appspan.AuditEntry{}}
	limit, err := in.limit()
	if err != nil {
		return out, err
	}
	after, err := in.after()
	if err != nil {
		return out, err
	}
	q, err := in.auditIn.query(ctx, c)
	if err != nil {
		return out, err
	}
	entries, next, err := c.Audit.Page(ctx, q, after, limit)
	if next != "" {
		out.Next = cursorAt(next)
	}
	out.Items = append(out.Items, entries...)
	return out, err
}

func (s *Server) exportAudit(ctx context.Context, c *call, in *auditIn) error {
	q, err := in.query(ctx, c)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("Content-Disposition", `attachment; filename="audit.ndjson"`)
	c.w.WriteHeader(http.StatusOK)
	_, err = c.Audit.Export(ctx, c.w, q)
	if err != nil {
		s.logger.WarnContext(ctx, "an export of the audit log broke off", "error", err, "request", requestID(ctx))
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Unix(1, 0)) // the answer is broken off too: nobody takes the part for all
	}
	return errAnswered
}
