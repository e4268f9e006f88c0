package lambdasim

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// pipe reads what a process writes to one of its output streams and passes on
// complete lines. Reading is possible from two sides: pump reads when there is
// something, and drain reads what is there now, so that there is a known moment
// before which everything was seen.
type pipe struct {
	kind ProcessKind
	file *os.File // the read end, non-blocking
	conn syscall.RawConn
	emit func(kind ProcessKind, block []byte)
	tee  io.Writer

	mu    sync.Mutex // held from a read until its lines were passed on
	buf   []byte
	carry []byte // text after the last newline
}

// newPipe returns the pipe and the end for the process.
func newPipe(kind ProcessKind, emit func(ProcessKind, []byte), tee io.Writer) (*pipe, *os.File, error) {
	file, writer, err := openPipe()
	if err != nil {
		return nil, nil, err
	}
	conn, err := file.SyscallConn()
	if err != nil {
		writer.Close()
		file.Close()
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return &pipe{kind: kind, file: file, conn: conn, emit: emit, tee: tee, buf: make([]byte, 256<<10)}, writer, nil
}

// pump reads until the stream ends or finish closes it.
func (p *pipe) pump() {
	// The error is that of the closed file.
	_ = p.conn.Read(func(fd uintptr) bool {
		for {
			if _, state := p.read(fd); state != pipeReady {
				return state == pipeEnd
			}
		}
	})
}

// drain passes on everything that was written up to now. What is written
// meanwhile does not count, or a busy writer would keep it here.
func (p *pipe) drain() {
	_ = p.conn.Control(func(fd uintptr) {
		// At least one read, because pump may have taken bytes that it has not
		// passed on yet; read waits for that.
		for left := pendingInPipe(fd); ; {
			n, state := p.read(fd)
			left -= n
			if left <= 0 || state != pipeReady {
				return
			}
		}
	})
}

// finish is called when the process is dead: it reads the rest, passes on a
// last line without newline, and closes the pipe.
func (p *pipe) finish() {
	_ = p.conn.Control(func(fd uintptr) {
		for {
			if _, state := p.read(fd); state != pipeReady {
				return
			}
		}
	})
	p.mu.Lock()
	if len(p.carry) > 0 {
		p.emit(p.kind, append(p.carry, '\n'))
		p.carry = nil
	}
	p.mu.Unlock()
	p.file.Close()
}

type pipeState int

const (
	pipeReady pipeState = iota // there may be more
	pipeEmpty
	pipeEnd
)

// read reads once and passes on the lines.
func (p *pipe) read(fd uintptr) (int, pipeState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := readPipe(fd, p.buf)
	switch {
	case n > 0:
		p.consume(p.buf[:n])
		return n, pipeReady
	case err == syscall.EINTR:
		return 0, pipeReady
	case err == syscall.EAGAIN:
		return 0, pipeEmpty
	default:
		return 0, pipeEnd
	}
}

// consume passes on the complete lines of the carry and the chunk. A newline is
// looked for in new text only, so a line of megabytes costs no more than its
// length. p.mu is held.
func (p *pipe) consume(chunk []byte) {
	if p.tee != nil {
		// The copy is a convenience; its errors are its owner's business.
		_, _ = p.tee.Write(chunk)
	}
	if len(p.carry) > 0 {
		first := bytes.IndexByte(chunk, '\n')
		if first < 0 {
			p.carry = append(p.carry, chunk...)
			return
		}
		p.emit(p.kind, append(p.carry, chunk[:first+1]...))
		p.carry = nil
		chunk = chunk[first+1:]
	}
	last := bytes.LastIndexByte(chunk, '\n')
	if last >= 0 {
		p.emit(p.kind, chunk[:last+1])
	}
	p.carry = append(p.carry, chunk[last+1:]...)
}
