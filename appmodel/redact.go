package appmodel

// Redact returns a copy of a without inline secret values: their items stay,
// with nothing in them. The copy can be given to anyone; who installs it gives
// the values again.
func Redact(a *Application) *Application {
	a = Clone(a)
	if a == nil {
		return nil
	}
	for i := range a.Secrets {
		for j := range a.Secrets[i].Items {
			a.Secrets[i].Items[j].Value = Sensitive{}
		}
	}
	return a
}
