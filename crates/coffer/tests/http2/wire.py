"""A connection that may send whatever it likes, and what is made of the answers.

Frames are written by hand, so that they can be wrong; header blocks and the names of errors and settings are those of the
PyPI libraries h2 and hpack.
"""

import socket
import ssl
import struct

import hpack
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

U32 = struct.Struct(">I").pack
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20
# The most that a frame may hold before anybody said otherwise (RFC 9113, section 4.2).
FRAME_MAX = 16_384
WINDOW_MAX = 2**31 - 1
# How long an answer is waited for; more than any limit of the edge at which a connection is cut off for its frames.
PATIENCE_S = 10


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Failed(Exception):
    """The server did not do what the standard says."""


class Target:
    """A face and what it can be asked for."""

    def __init__(self, address, host, authority, get, post):
        self.address, self.host, self.get, self.post = address, host, get, post
        self.context = ssl.create_default_context(cafile=authority)
        self.context.set_alpn_protocols(["h2"])


class Connection:
    """An HTTP/2 connection of a client; `begin` is what it says first."""

    def __init__(self, target, settings=(), begin=PREFACE):
        self.target = target
        raw = socket.create_connection(target.address, timeout=PATIENCE_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = target.context.wrap_socket(raw, server_hostname=target.host)
        if self.tls.selected_alpn_protocol() != "h2":
            raise Failed("h2 is not spoken here")
        self.encoder, self.buffer, self.seen = hpack.Encoder(), b"", []
        self.send_raw(begin)
        if begin == PREFACE:
            self.settings(dict(settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    # Sending. A server that has closed already is found out when its answer is read.

    def send_raw(self, octets):
        try:
            self.tls.sendall(octets)
        except OSError:
            pass

    def send(self, *arguments, **named):
        self.send_raw(frame(*arguments, **named))

    def settings(self, values):
        pairs = values.items() if isinstance(values, dict) else values
        self.send(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))

    def request(self, method="GET", path=None, extra=(), leave_out=()):
        path = path if path is not None else (self.target.post if method == "POST" else self.target.get)
        fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", self.target.host)]
        if method == "POST":
            fields.append(("content-type", "application/json"))
        return [field for field in fields if field[0] not in leave_out] + list(extra)

    def block(self, *arguments, **named):
        return self.encoder.encode(self.request(*arguments, **named))

    def headers(self, stream=1, flags=END_STREAM | END_HEADERS, block=None):
        self.send(HEADERS, flags, stream, self.block() if block is None else block)

    def post(self, stream=1, **named):
        self.headers(stream, END_HEADERS, self.block("POST", **named))

    def in_pieces(self, count, stream_ends=END_STREAM):
        """A request whose header block comes in so many frames."""
        block = self.block() if stream_ends else self.block("POST")
        size = -(-len(block) // count)
        pieces = [block[at:at + size] for at in range(0, len(block), size)]
        self.headers(1, stream_ends, pieces[0])
        for piece in pieces[1:-1]:
            self.send(CONTINUATION, 0, 1, piece)
        self.send(CONTINUATION, END_HEADERS, 1, pieces[-1])

    def ping(self, octets=b"h2 cases"):
        self.send(PING, payload=octets)

    # Receiving.

    def frame(self):
        """The next frame, or None when the server has closed."""
        head = self.read(9)
        if head is None:
            return None
        payload = self.read(int.from_bytes(head[:3], "big"))
        if payload is None:
            return None
        found = head[3], head[4], int.from_bytes(head[5:], "big") & WINDOW_MAX, payload
        self.seen.append(shown(*found))
        return found

    def read(self, wanted):
        while len(self.buffer) < wanted:
            try:
                more = self.tls.recv(65_536)
            except TimeoutError:
                raise Failed(f"nothing more came in time, after {', '.join(self.seen)}") from None
            except OSError:
                return None
            if not more:
                return None
            self.buffer += more
        found, self.buffer = self.buffer[:wanted], self.buffer[wanted:]
        return found

    def until(self, wanted):
        """The first frame that is wanted."""
        while (frame := self.frame()) is not None:
            if wanted(*frame):
                return frame
        raise Failed(f"closed after {', '.join(self.seen) or 'nothing'}")

    # What is expected.

    def answered(self, stream=1):
        return self.until(lambda kind, _, of, __: kind == HEADERS and of == stream)

    def ended(self, stream=1):
        """The answer is complete."""
        self.until(lambda kind, flags, of, _: kind in (DATA, HEADERS) and of == stream and flags & END_STREAM)

    def closed(self):
        while self.frame() is not None:
            pass

    def alive_or_closed(self):
        """A peer that was told that we go may answer, or go as well, but not call it an error."""
        self.ping()
        while (frame := self.frame()) is not None:
            kind, flags, _, payload = frame
            if kind == GOAWAY and payload[4:8] != bytes(4):
                raise Failed(shown(*frame))
            if kind == PING and flags & ACK:
                return

    def first_settings(self):
        payload = self.until(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)[3]
        return dict(struct.unpack_from(">HI", payload, at) for at in range(0, len(payload), 6))

    def frame_max(self):
        return self.first_settings().get(SettingCodes.MAX_FRAME_SIZE, FRAME_MAX)

    def answered_with(self, stream, size):
        """So many bytes of the answer."""
        data = self.until(lambda kind, _, of, __: kind == DATA and of == stream)
        if len(data[3]) != size:
            raise Failed(f"{len(data[3])} bytes came, {size} were allowed")

    def acknowledged(self):
        """Of our settings, the first; those of the server come in between."""
        self.until(lambda kind, flags, _, __: kind == SETTINGS and flags & ACK)

    def ponged(self, octets=b"h2 cases"):
        self.until(lambda kind, flags, _, payload: kind == PING and flags & ACK and payload == octets)

    def alive(self):
        self.ping()
        self.ponged()

    def connection_error(self, *codes):
        """GOAWAY with one of the codes, or the end of the connection (RFC 9113, section 5.4.1)."""
        while (frame := self.frame()) is not None:
            kind, _, _, payload = frame
            if kind == GOAWAY and struct.unpack(">I", payload[4:8])[0] in codes:
                return

    def stream_error(self, stream, *codes):
        """RST_STREAM with one of the codes, or an error of the whole connection (RFC 9113, section 5.4.2)."""
        while (frame := self.frame()) is not None:
            kind, _, of, payload = frame
            if kind == GOAWAY and struct.unpack(">I", payload[4:8])[0] in codes:
                return
            if kind == RST_STREAM and of == stream and struct.unpack(">I", payload)[0] in codes:
                return

    def malformed(self, stream=1):
        """PROTOCOL_ERROR, or, as RFC 9113, section 8.1.1, allows, an answer that says so: 400."""
        while (frame := self.frame()) is not None:
            kind, _, of, payload = frame
            code = payload[4:8] if kind == GOAWAY else payload
            if (kind == GOAWAY or (kind == RST_STREAM and of == stream)) and code == U32(ErrorCodes.PROTOCOL_ERROR):
                return
            if kind == HEADERS and of == stream and status(payload) == 400:
                return


def status(block):
    return int(dict(hpack.Decoder().decode(block, raw=True))[b":status"])


def shown(kind, flags, stream, payload):
    names = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()
    name = names[kind] if kind < len(names) else f"type {kind}"
    if kind in (RST_STREAM, GOAWAY):
        name += f" {ErrorCodes(struct.unpack('>I', payload[-4:] if kind == RST_STREAM else payload[4:8])[0]).name}"
    return f"{name} flags {flags:#x} stream {stream} ({len(payload)})"


__all__ = [name for name in dir() if not name.startswith("_")]
