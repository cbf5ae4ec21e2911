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

// Restore is the reverse of [Redact]: it returns a copy of a, in which secret items
// that say nothing have the values of the same items of from.
func Restore(a, from *Application) *Application {
	a = Clone(a)
	if a == nil || from == nil {
		return a
	}
	known := map[[2]string]Sensitive{}
	for _, group := range from.Secrets {
		for _, item := range group.Items {
			known[[2]string{group.Name, item.Name}] = item.Value
		}
	}
	for i := range a.Secrets {
		for j := range a.Secrets[i].Items {
			item := &a.Secrets[i].Items[j]
			if item.Generate == nil && item.Template == "" && item.Value.IsZero() {
				item.Value = known[[2]string{a.Secrets[i].Name, item.Name}]
			}
		}
	}
	return a
}
