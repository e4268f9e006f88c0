//go:build race

package main

// raced: under the race detector everything takes ten times as long.
const raced = true
