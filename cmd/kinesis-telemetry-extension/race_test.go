//go:build race

package main

// raced is true under the race detector, with which everything takes ten times as long.
const raced = true
