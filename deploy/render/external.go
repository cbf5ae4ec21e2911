package render

import "github.com/appspan-dev/appspan/appmodel"

func (b *builder) external(c *appmodel.Component) {}
