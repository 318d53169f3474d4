package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// schema is what the page takes of a JSON schema.
type schema struct {
	Title                string     `json:"title"`
	Description          string     `json:"description"`
	Commands             []string   `json:"x-commands"`
	Option               string     `json:"x-option"`
	Type                 string     `json:"type"`
	Enum                 []string   `json:"enum"`
	Properties           orderedMap `json:"properties"`
	Required             []string   `json:"required"`
	Items                *schema    `json:"items"`
	AdditionalProperties additional `json:"additionalProperties"`
}

// additional is false, or the schema of a map's values.
type additional struct{ *schema }

func (a *additional) UnmarshalJSON(data []byte) error {
	if string(data) == "false" {
		return nil
	}
	a.schema = &schema{}
	return json.Unmarshal(data, a.schema)
}

// orderedMap keeps properties in the order in which the schema has them, which is
// that of the output.
type orderedMap struct {
	names []string
	of    map[string]*schema
}

func (m *orderedMap) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &m.of); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		m.names = append(m.names, fmt.Sprint(name))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
	}
	return nil
}

// writeJSONPage writes the page of what --json prints.
func writeJSONPage(schemas, file string) error {
	files, err := filepath.Glob(filepath.Join(schemas, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no schemas in %s", schemas)
	}
	var page bytes.Buffer
	page.WriteString("<!-- Made by \"make docs\" from the schemas in schema/. -->\n\n# JSON\n\n" +
		"What commands print with `--json`, and what `serve --events` tells: the only thing on standard output, UTF-8, one value and a line break for each thing asked for. " +
		"Fields marked \"may be left out\" are there only when there is something to say. New fields may come; none changes its meaning within a major version. " +
		"The same for programs: the JSON schemas (draft 2020-12) in [schema](schema), with which tests compare what every command prints.\n")
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var s schema
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		section(&page, filepath.Base(path), s)
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}

func section(page *bytes.Buffer, file string, s schema) {
	var commands []string
	for _, c := range s.Commands {
		commands = append(commands, "`"+strings.TrimSpace("image2ipfs "+c)+"`")
	}
	if s.Option != "" {
		commands = append(commands, "`image2ipfs "+s.Option+"`")
	}
	fmt.Fprintf(page, "\n## %s\n\nOf %s, by [this schema](schema/%s).%s\n\n", s.Title, strings.Join(commands, ", "), file, strings.TrimRight(" "+s.Description, " "))
	if s.Type == "array" {
		page.WriteString("An array of objects.\n\n")
		s = *s.Items
	}
	page.WriteString("| field | type | |\n|---|---|---|\n")
	rows(page, "", &s)
}

// rows writes a line for each field, those inside it below.
func rows(page *bytes.Buffer, prefix string, s *schema) {
	for _, name := range s.Properties.names {
		p := s.Properties.of[name]
		text := p.Description
		if name == "root" {
			text += " ([as ref prints it](#a-root-in-all-its-spellings))"
		}
		if !slices.Contains(s.Required, name) {
			text += " (may be left out)"
		}
		fmt.Fprintf(page, "| `%s%s` | %s | %s |\n", prefix, name, typeText(p), text)
		switch {
		case p.Items != nil:
			rows(page, prefix+name+"[].", p.Items)
		case p.AdditionalProperties.schema != nil:
			rows(page, prefix+name+".*.", p.AdditionalProperties.schema)
		case name != "root" || prefix != "": // described once, by ref
			rows(page, prefix+name+".", p)
		}
	}
}

func typeText(s *schema) string {
	switch {
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, ", ")
	case s.Items != nil:
		return "array of " + typeText(s.Items)
	case s.AdditionalProperties.schema != nil:
		return "object of " + typeText(s.AdditionalProperties.schema)
	}
	return s.Type
}
