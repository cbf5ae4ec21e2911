package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) rawObjects(c *appmodel.Component) {}
