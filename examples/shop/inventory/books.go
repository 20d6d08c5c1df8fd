package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

//go:embed initial.json
var initial []byte

// books is the stock together with the orders that it already accounts for: one file holds both, so
// they cannot disagree. (A real shop would use one database transaction.)
type books struct {
	path   string
	Stock  map[string]int  `json:"stock"` // below zero: to be bought
	Booked map[string]bool `json:"booked"`
}

func openBooks(path string) (*books, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = initial, nil
	}
	if err != nil {
		return nil, err
	}
	books := &books{path: path}
	return books, json.Unmarshal(text, books)
}

func (b *books) book(order order) error {
	for product, count := range order.Products {
		b.Stock[product] -= count
	}
	b.Booked[order.ID] = true
	return b.save()
}

// save replaces the file in one step: after a crash it is the old one or the new one.
func (b *books) save() error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.Create(b.path + ".new")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), b.path)
}
