// Package team shares clusters out among teams.
package team
