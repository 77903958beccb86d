"""What h2spec asks of an HTTP/2 server, case by case and under its numbers: RFC 9113 (h2spec names the sections of RFC 7540) and
RFC 7541. One line per case on stdout: `pass` or `fail`, the number, what is done, and what came instead.

    python cases.py ADDRESS PORT HOST AUTHORITY_PEM GET_PATH POST_PATH [CASE…]
"""

import sys

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from wire import *

E, S = ErrorCodes, SettingCodes
PROTOCOL, SIZE, CLOSED, FLOW = E.PROTOCOL_ERROR, E.FRAME_SIZE_ERROR, E.STREAM_CLOSED, E.FLOW_CONTROL_ERROR
COMPRESSION, REFUSED, ENHANCE = E.COMPRESSION_ERROR, E.REFUSED_STREAM, E.ENHANCE_YOUR_CALM
HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
# An answer that may not be sent keeps the server from closing a stream first.
OPEN = {S.INITIAL_WINDOW_SIZE: 0}
CASES = []


def case(number, title, **connection):
    """Lists a case; its function gets a connection that has said what a client says first."""

    def listed(run):
        CASES.append((number, title, connection, run))
        return run

    return listed


def priority(on, weight=15, exclusive=False):
    return U32(on | (1 << 31 if exclusive else 0)) + bytes([weight])


# Generic: what must work.

@case("generic/1/1", "a preface is answered with settings")
def _(c): c.until(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)

@case("generic/2/1", "PRIORITY on an idle stream")
def _(c): c.send(PRIORITY, 0, 1, priority(0)), c.headers(1), c.answered()

@case("generic/2/2", "WINDOW_UPDATE on a half-closed stream")
def _(c): c.headers(), c.send(WINDOW_UPDATE, 0, 1, U32(1)), c.answered()

@case("generic/2/3", "PRIORITY on a half-closed stream")
def _(c): c.headers(), c.send(PRIORITY, 0, 1, priority(0)), c.answered()

@case("generic/2/4", "RST_STREAM on a half-closed stream")
def _(c): c.headers(), c.send(RST_STREAM, 0, 1, U32(E.CANCEL)), c.alive()

@case("generic/2/5", "PRIORITY on a closed stream")
def _(c): c.headers(), c.ended(), c.send(PRIORITY, 0, 1, priority(0)), c.alive()

@case("generic/3.1/1", "a DATA frame")
def _(c): c.post(), c.send(DATA, END_STREAM, 1, b"{}"), c.answered()

@case("generic/3.1/2", "several DATA frames")
def _(c): c.post(), c.send(DATA, 0, 1, b"{"), c.send(DATA, END_STREAM, 1, b"}"), c.answered()

@case("generic/3.1/3", "a DATA frame with padding")
def _(c): c.post(), c.send(DATA, END_STREAM | PADDED, 1, b"\x05{}" + bytes(5)), c.answered()

@case("generic/3.2/1", "a HEADERS frame")
def _(c): c.headers(), c.answered()

@case("generic/3.2/2", "a HEADERS frame with padding")
def _(c): c.headers(1, END_STREAM | END_HEADERS | PADDED, b"\x05" + c.block() + bytes(5)), c.answered()

@case("generic/3.2/3", "a HEADERS frame with a priority")
def _(c): c.headers(1, END_STREAM | END_HEADERS | PRIORITISED, priority(0) + c.block()), c.answered()

@case("generic/3.3/1", "PRIORITY with weight 1")
def _(c): c.send(PRIORITY, 0, 1, priority(0, 0)), c.headers(), c.answered()

@case("generic/3.3/2", "PRIORITY with weight 256")
def _(c): c.send(PRIORITY, 0, 1, priority(0, 255)), c.headers(), c.answered()

@case("generic/3.3/3", "PRIORITY with a dependency")
def _(c): c.send(PRIORITY, 0, 1, priority(0)), c.send(PRIORITY, 0, 3, priority(1)), c.headers(), c.answered()

@case("generic/3.3/4", "PRIORITY with an exclusive dependency")
def _(c): c.send(PRIORITY, 0, 3, priority(1, exclusive=True)), c.headers(), c.answered()

@case("generic/3.3/5", "PRIORITY for an idle stream, then HEADERS for a lower one")
def _(c): c.send(PRIORITY, 0, 7, priority(0)), c.headers(5), c.answered(5)

@case("generic/3.4/1", "RST_STREAM")
def _(c): c.post(), c.send(RST_STREAM, 0, 1, U32(E.CANCEL)), c.alive()

@case("generic/3.5/1", "SETTINGS")
def _(c): c.settings({S.MAX_CONCURRENT_STREAMS: 100}), c.acknowledged(), c.acknowledged()

@case("generic/3.7/1", "PING")
def _(c): c.alive()

@case("generic/3.8/1", "GOAWAY")
def _(c): c.send(GOAWAY, payload=U32(0) + U32(E.NO_ERROR)), c.alive_or_closed()

@case("generic/3.9/1", "WINDOW_UPDATE for the connection")
def _(c): c.send(WINDOW_UPDATE, payload=U32(1)), c.headers(), c.answered()

@case("generic/3.9/2", "WINDOW_UPDATE for a stream")
def _(c): c.post(), c.send(WINDOW_UPDATE, 0, 1, U32(1)), c.send(DATA, END_STREAM, 1, b"{}"), c.answered()

@case("generic/3.10/1", "a CONTINUATION frame")
def _(c): c.in_pieces(2), c.answered()

@case("generic/3.10/2", "several CONTINUATION frames")
def _(c): c.in_pieces(4), c.answered()

@case("generic/4/1", "GET")
def _(c): c.headers(), c.answered(), c.ended()

@case("generic/4/2", "HEAD")
def _(c): c.headers(1, END_STREAM | END_HEADERS, c.block("HEAD")), c.answered()

@case("generic/4/3", "POST")
def _(c): c.post(), c.send(DATA, END_STREAM, 1, b"{}"), c.answered()

@case("generic/4/4", "POST with trailers")
def _(c):
    c.post(), c.send(DATA, 0, 1, b"{}")
    c.headers(1, END_STREAM | END_HEADERS, c.encoder.encode([("x-trailer", "1")])), c.answered()


# Header blocks (RFC 7541), written out: the fields of a request, one of them in each form.

def with_field(c, octets, size=()):
    """GET with a field of this form behind the usual ones."""
    c.headers(block=b"".join(size) + plain(c) + octets)


def plain(c):
    host, path = c.target.host.encode(), c.target.get.encode()
    return b"\x82\x87" + b"\x04" + string(path) + b"\x01" + string(host)


def string(octets):
    # Long ones have their length in a second octet (RFC 7541, section 5.1).
    length = len(octets)
    return (bytes([length]) if length < 127 else bytes([127, length - 127])) + octets


def coded(octets):
    octets = HUFFMAN.encode(octets)
    return bytes([0x80 | len(octets)]) + octets


FORMS = [
    ("an indexed field", b"\x90"),
    ("a literal with indexing, its name indexed", b"\x7a" + string(b"h2")),
    ("a literal with indexing, its name new", b"\x40" + string(b"x-test") + string(b"h2")),
    ("a literal without indexing, its name indexed", b"\x0f\x2b" + string(b"h2")),
    ("a literal without indexing, its name new", b"\x00" + string(b"x-test") + string(b"h2")),
    ("a literal never indexed, its name indexed", b"\x1f\x2b" + string(b"h2")),
    ("a literal never indexed, its name new", b"\x10" + string(b"x-test") + string(b"h2")),
    ("an indexed field of the dynamic table", b"\x40" + string(b"x-test") + string(b"h2") + b"\xbe"),
    ("a literal with its name in the dynamic table", b"\x40" + string(b"x-test") + string(b"h2") + b"\x7e" + string(b"3")),
    ("a name and a value in Huffman's code", b"\x40" + coded(b"x-test") + coded(b"h2")),
    ("an empty value", b"\x40" + string(b"x-test") + string(b"")),
    ("a value of 126 octets", b"\x00" + string(b"x-test") + string(b"a" * 126)),
    ("a value of 200 octets", b"\x00" + string(b"x-test") + string(b"a" * 200)),
]
for at, (form, octets) in enumerate(FORMS, 1):
    case(f"generic/5/{at}", f"a header block with {form}")(lambda c, octets=octets: (with_field(c, octets), c.answered()))

@case("generic/5/14", "a header block that begins with a new size of the table")
def _(c): with_field(c, b"", [b"\x20"]), c.answered()

@case("generic/5/15", "a header block that begins with two new sizes of the table")
def _(c): with_field(c, b"", [b"\x20", b"\x3f\x61"]), c.answered()

HPACK_FAULTS = [
    ("2.3.3/1", "an index that is not in the tables", b"\xff\x61"),
    ("2.3.3/2", "a literal whose name's index is not in the tables", b"\x7f\x61" + string(b"h2")),
    ("4.2/1", "a new size of the table at the end", b"\x21"),
    ("5.2/1", "padding of Huffman's code longer than 7 bits", b"\x00" + string(b"x-test") + b"\x82\x1f\xff"),
    ("5.2/2", "padding of Huffman's code with zeros", b"\x00" + string(b"x-test") + b"\x81\x18"),
    ("5.2/3", "the end of Huffman's code within a string", b"\x00" + string(b"x-test") + b"\x84\xff\xff\xff\xff"),
    ("6.1/1", "an indexed field with index 0", b"\x80"),
    ("6.3/1", "a new size of the table beyond what was allowed", b"\x3f\xe2\xff\x03"),
]
for number, title, octets in HPACK_FAULTS:
    def run(c, octets=octets, first=number == "6.3/1"):
        c.headers(block=octets + plain(c) if first else plain(c) + octets)
        c.connection_error(COMPRESSION)
    case(f"hpack/{number}", title)(run)


# 3 Beginning, 4 frames.

@case("http2/3.5/1", "the preface")
def _(c): c.acknowledged()

@case("http2/3.5/2", "another preface", begin=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
def _(c): c.connection_error(PROTOCOL)

@case("http2/4.1/1", "a frame of an unknown type")
def _(c): c.send(0xEE, payload=b"12345678"), c.alive()

@case("http2/4.1/2", "flags that are not defined")
def _(c): c.send(PING, 0xFE, payload=b"h2 cases"), c.ponged()

@case("http2/4.1/3", "the reserved bit of a stream's number")
def _(c): c.send(PING, 0, 1 << 31, b"h2 cases"), c.ponged()

@case("http2/4.2/1", "DATA of 2^14 octets")
def _(c): c.post(), c.send(DATA, END_STREAM, 1, bytes(FRAME_MAX)), c.answered()

@case("http2/4.2/2", "DATA of more than the largest frame", settings=OPEN)
def _(c): c.post(), c.send(DATA, END_STREAM, 1, bytes(c.frame_max() + 1)), c.stream_error(1, SIZE)

@case("http2/4.2/3", "HEADERS of more than the largest frame")
def _(c): c.headers(block=c.block() + bytes(c.frame_max())), c.connection_error(SIZE)

@case("http2/4.3/1", "a header block that breaks off")
def _(c): c.headers(block=b"\x40"), c.connection_error(COMPRESSION)

@case("http2/4.3/2", "PRIORITY within a header block")
def _(c): c.headers(1, END_STREAM), c.send(PRIORITY, 0, 1, priority(0)), c.connection_error(PROTOCOL)

@case("http2/4.3/3", "HEADERS of another stream within a header block")
def _(c): c.headers(1, END_STREAM), c.headers(3), c.connection_error(PROTOCOL)


# 5 Streams.

@case("http2/5.1/1", "DATA on an idle stream")
def _(c): c.send(DATA, END_STREAM, 1, b"{}"), c.connection_error(PROTOCOL)

@case("http2/5.1/2", "RST_STREAM on an idle stream")
def _(c): c.send(RST_STREAM, 0, 1, U32(E.CANCEL)), c.connection_error(PROTOCOL)

@case("http2/5.1/3", "WINDOW_UPDATE on an idle stream")
def _(c): c.send(WINDOW_UPDATE, 0, 1, U32(100)), c.connection_error(PROTOCOL)

@case("http2/5.1/4", "CONTINUATION on an idle stream")
def _(c): c.send(CONTINUATION, END_HEADERS, 1, c.block()), c.connection_error(PROTOCOL)

@case("http2/5.1/5", "DATA on a half-closed stream")
def _(c): c.headers(), c.send(DATA, END_STREAM, 1, b"{}"), c.stream_error(1, CLOSED)

@case("http2/5.1/6", "HEADERS on a half-closed stream")
def _(c): c.headers(), c.headers(), c.stream_error(1, CLOSED)

@case("http2/5.1/7", "CONTINUATION on a half-closed stream")
def _(c): c.headers(), c.send(CONTINUATION, END_HEADERS, 1, c.block()), c.stream_error(1, CLOSED, PROTOCOL)

def reset(c):
    c.post(), c.send(RST_STREAM, 0, 1, U32(E.CANCEL))

@case("http2/5.1/8", "DATA after RST_STREAM", settings=OPEN)
def _(c): reset(c), c.send(DATA, END_STREAM, 1, b"{}"), c.stream_error(1, CLOSED)

@case("http2/5.1/9", "HEADERS after RST_STREAM", settings=OPEN)
def _(c): reset(c), c.headers(), c.stream_error(1, CLOSED)

@case("http2/5.1/10", "CONTINUATION after RST_STREAM", settings=OPEN)
def _(c): reset(c), c.send(CONTINUATION, END_HEADERS, 1, c.block()), c.connection_error(CLOSED, PROTOCOL)

@case("http2/5.1/11", "DATA on a closed stream")
def _(c): c.headers(), c.ended(), c.send(DATA, END_STREAM, 1, b"{}"), c.stream_error(1, CLOSED)

@case("http2/5.1/12", "HEADERS on a closed stream")
def _(c): c.headers(), c.ended(), c.headers(), c.connection_error(CLOSED, PROTOCOL)

@case("http2/5.1/13", "CONTINUATION on a closed stream")
def _(c): c.headers(), c.ended(), c.send(CONTINUATION, END_HEADERS, 1, c.block()), c.connection_error(CLOSED, PROTOCOL)

@case("http2/5.1.1/1", "a stream with an even number")
def _(c): c.headers(2), c.connection_error(PROTOCOL)

@case("http2/5.1.1/2", "a stream with a lower number than the last")
def _(c): c.headers(5), c.headers(3), c.connection_error(PROTOCOL, CLOSED)

@case("http2/5.1.2/1", "more streams at once than are allowed", settings={S.INITIAL_WINDOW_SIZE: 0})
def _(c):
    allowed = c.first_settings()[S.MAX_CONCURRENT_STREAMS]
    # Answers that may not be sent keep the streams open.
    for stream in range(1, 2 * (allowed + 1), 2):
        c.headers(stream)
    c.stream_error(2 * allowed + 1, PROTOCOL, REFUSED)

@case("http2/5.3.1/1", "HEADERS of a stream that depends on itself")
def _(c):
    c.headers(1, END_STREAM | END_HEADERS | PRIORITISED, priority(1) + c.block())
    c.stream_error(1, PROTOCOL)

@case("http2/5.3.1/2", "PRIORITY of a stream that depends on itself")
def _(c): c.send(PRIORITY, 0, 2, priority(2)), c.stream_error(2, PROTOCOL)

@case("http2/5.4.1/1", "an error of the connection closes it")
def _(c): c.send(DATA, END_STREAM, 1, b"{}"), c.closed()

@case("http2/5.4.1/2", "GOAWAY comes before it is closed")
def _(c): c.send(DATA, END_STREAM, 1, b"{}"), c.until(lambda kind, *_: kind == GOAWAY)

@case("http2/5.5/1", "an unknown frame")
def _(c): c.send(0xFF, 0, 0, bytes(8)), c.alive()

@case("http2/5.5/2", "an unknown frame within a header block")
def _(c): c.headers(1, END_STREAM), c.send(0xFF, 0, 1, bytes(8)), c.connection_error(PROTOCOL)


# 6 Frames, one after the other.

@case("http2/6.1/1", "DATA on stream 0")
def _(c): c.send(DATA, 0, 0, b"{}"), c.connection_error(PROTOCOL)

@case("http2/6.1/2", "DATA on a stream that is not open")
def _(c): c.headers(), c.send(DATA, END_STREAM, 1, b"{}"), c.stream_error(1, CLOSED)

@case("http2/6.1/3", "DATA with more padding than frame", settings=OPEN)
def _(c): c.post(), c.send(DATA, END_STREAM | PADDED, 1, b"\x06{}" + bytes(2)), c.connection_error(PROTOCOL)

@case("http2/6.2/1", "HEADERS without END_HEADERS, then PRIORITY")
def _(c): c.headers(1, END_STREAM), c.send(PRIORITY, 0, 3, priority(0)), c.connection_error(PROTOCOL)

@case("http2/6.2/2", "HEADERS without END_HEADERS, then those of another stream")
def _(c): c.headers(1, 0), c.headers(3), c.connection_error(PROTOCOL)

@case("http2/6.2/3", "HEADERS on stream 0")
def _(c): c.headers(0), c.connection_error(PROTOCOL)

@case("http2/6.2/4", "HEADERS with more padding than frame")
def _(c):
    block = c.block()
    c.headers(1, END_STREAM | END_HEADERS | PADDED, bytes([len(block) + 1]) + block), c.connection_error(PROTOCOL)

@case("http2/6.3/1", "PRIORITY on stream 0")
def _(c): c.send(PRIORITY, 0, 0, priority(1)), c.connection_error(PROTOCOL)

@case("http2/6.3/2", "PRIORITY of another length than 5")
def _(c): c.send(PRIORITY, 0, 1, priority(0)[:4]), c.stream_error(1, SIZE)

@case("http2/6.4/1", "RST_STREAM on stream 0")
def _(c): c.send(RST_STREAM, 0, 0, U32(E.CANCEL)), c.connection_error(PROTOCOL)

@case("http2/6.4/2", "RST_STREAM on an idle stream")
def _(c): c.send(RST_STREAM, 0, 1, U32(E.CANCEL)), c.connection_error(PROTOCOL)

@case("http2/6.4/3", "RST_STREAM of another length than 4")
def _(c): c.post(), c.send(RST_STREAM, 0, 1, bytes(3)), c.connection_error(SIZE)

@case("http2/6.5/1", "an acknowledgement of SETTINGS that holds something")
def _(c): c.send(SETTINGS, ACK, 0, bytes(6)), c.connection_error(SIZE)

@case("http2/6.5/2", "SETTINGS on another stream than 0")
def _(c): c.send(SETTINGS, 0, 1, b"\x00\x03" + U32(100)), c.connection_error(PROTOCOL)

@case("http2/6.5/3", "SETTINGS whose length is no multiple of 6")
def _(c): c.send(SETTINGS, 0, 0, bytes(3)), c.connection_error(SIZE)

for number, title, code, value, error in [
    (1, "ENABLE_PUSH neither 0 nor 1", S.ENABLE_PUSH, 2, PROTOCOL),
    (2, "INITIAL_WINDOW_SIZE above the largest", S.INITIAL_WINDOW_SIZE, 2**31, FLOW),
    (3, "MAX_FRAME_SIZE below the least", S.MAX_FRAME_SIZE, FRAME_MAX - 1, PROTOCOL),
    (4, "MAX_FRAME_SIZE above the largest", S.MAX_FRAME_SIZE, 2**24, PROTOCOL),
]:
    def run(c, code=code, value=value, error=error):
        c.settings({code: value}), c.connection_error(error)
    case(f"http2/6.5.2/{number}", title)(run)

@case("http2/6.5.2/5", "a setting that is not known")
def _(c): c.settings({0xFF: 1}), c.alive()

@case("http2/6.5.3/1", "of two values for INITIAL_WINDOW_SIZE the last holds")
def _(c):
    c.settings([(S.INITIAL_WINDOW_SIZE, 100), (S.INITIAL_WINDOW_SIZE, 1)])
    c.headers(), c.answered_with(1, 1)

@case("http2/6.5.3/2", "SETTINGS are acknowledged")
def _(c): c.settings({}), c.acknowledged(), c.acknowledged()

@case("http2/6.7/1", "PING is answered")
def _(c): c.ping(), c.ponged()

@case("http2/6.7/2", "an answer to a PING is not answered")
def _(c):
    c.send(PING, ACK, 0, b"not sent"), c.ping()
    pong = c.until(lambda kind, flags, *_: kind == PING)
    if pong[3] != b"h2 cases":
        raise Failed("it was answered")

@case("http2/6.7/3", "PING on another stream than 0")
def _(c): c.send(PING, 0, 1, bytes(8)), c.connection_error(PROTOCOL)

@case("http2/6.7/4", "PING of another length than 8")
def _(c): c.send(PING, 0, 0, bytes(6)), c.connection_error(SIZE)

@case("http2/6.8/1", "GOAWAY on another stream than 0")
def _(c): c.send(GOAWAY, 0, 1, U32(0) + U32(E.NO_ERROR)), c.connection_error(PROTOCOL)

@case("http2/6.9/1", "WINDOW_UPDATE by nothing")
def _(c): c.send(WINDOW_UPDATE, 0, 0, U32(0)), c.connection_error(PROTOCOL)

@case("http2/6.9/2", "WINDOW_UPDATE of a stream by nothing", settings=OPEN)
def _(c): c.post(), c.send(WINDOW_UPDATE, 0, 1, U32(0)), c.stream_error(1, PROTOCOL)

@case("http2/6.9/3", "WINDOW_UPDATE of another length than 4")
def _(c): c.send(WINDOW_UPDATE, 0, 0, bytes(3)), c.connection_error(SIZE)

@case("http2/6.9.1/1", "no more DATA than the window allows", settings={S.INITIAL_WINDOW_SIZE: 1})
def _(c): c.headers(), c.answered_with(1, 1)

def twice_the_window(c, stream):
    # In one piece: the first lets the answer go out, which closes the stream before a second that comes later.
    c.send_raw(2 * frame(WINDOW_UPDATE, 0, stream, U32(WINDOW_MAX)))

@case("http2/6.9.1/2", "a window of the connection above the largest")
def _(c): twice_the_window(c, 0), c.connection_error(FLOW)

@case("http2/6.9.1/3", "a window of a stream above the largest", settings=OPEN)
def _(c): c.post(), twice_the_window(c, 1), c.stream_error(1, FLOW)

@case("http2/6.9.2/1", "a window that opens after the request", settings={S.INITIAL_WINDOW_SIZE: 0})
def _(c): c.headers(), c.answered(), c.settings({S.INITIAL_WINDOW_SIZE: 1}), c.answered_with(1, 1)

@case("http2/6.9.2/2", "a window that became negative", settings={S.INITIAL_WINDOW_SIZE: 3})
def _(c):
    c.headers(), c.answered_with(1, 3), c.settings({S.INITIAL_WINDOW_SIZE: 2})
    c.send(WINDOW_UPDATE, 0, 1, U32(2)), c.answered_with(1, 1)

@case("http2/6.9.2/3", "an INITIAL_WINDOW_SIZE that makes a window too large")
def _(c): c.settings({S.INITIAL_WINDOW_SIZE: 2**31}), c.connection_error(FLOW)

@case("http2/6.10/1", "several CONTINUATION frames")
def _(c): c.in_pieces(3), c.answered()

@case("http2/6.10/2", "CONTINUATION, then something else")
def _(c):
    c.headers(1, END_STREAM), c.send(CONTINUATION, 0, 1, c.encoder.encode([("x-test", "1")]))
    c.send(DATA, END_STREAM, 1, b"{}"), c.connection_error(PROTOCOL)

@case("http2/6.10/3", "CONTINUATION on stream 0")
def _(c): c.headers(1, END_STREAM), c.send(CONTINUATION, END_HEADERS, 0, b"\x82"), c.connection_error(PROTOCOL)

@case("http2/6.10/4", "CONTINUATION after HEADERS with END_HEADERS")
def _(c): c.post(), c.send(CONTINUATION, END_HEADERS, 1, b"\x82"), c.connection_error(PROTOCOL)

@case("http2/6.10/5", "CONTINUATION after CONTINUATION with END_HEADERS")
def _(c): c.in_pieces(2, 0), c.send(CONTINUATION, END_HEADERS, 1, b"\x82"), c.connection_error(PROTOCOL)

@case("http2/6.10/6", "CONTINUATION after DATA")
def _(c): c.post(), c.send(DATA, 0, 1, b"{}"), c.send(CONTINUATION, END_HEADERS, 1, b"\x82"), c.connection_error(PROTOCOL)


# 7 Codes of errors, 8 messages.

@case("http2/7/1", "GOAWAY with an unknown code")
def _(c): c.send(GOAWAY, payload=U32(0) + U32(0xFF)), c.alive_or_closed()

@case("http2/7/2", "RST_STREAM with an unknown code")
def _(c): c.post(), c.send(RST_STREAM, 0, 1, U32(0xFF)), c.alive()

@case("http2/8.1/1", "second HEADERS without END_STREAM", settings=OPEN)
def _(c):
    c.post(), c.headers(1, END_HEADERS, c.encoder.encode([("x-test", "1")])), c.malformed()

def get_with(number, title, fields, leave_out=()):
    def run(c):
        c.headers(block=c.block(extra=fields, leave_out=leave_out)), c.malformed()
    case(f"http2/{number}", title)(run)

get_with("8.1.2/1", "a name in capitals", [("X-TEST", "1")])
get_with("8.1.2.1/1", "an unknown pseudo-field", [(":test", "1")])
get_with("8.1.2.1/2", "a pseudo-field of answers", [(":status", "200")])
get_with("8.1.2.1/4", "a pseudo-field after others", [("x-test", "1"), (":path", "/")], [":path"])

@case("http2/8.1.2.1/3", "a pseudo-field in trailers", settings=OPEN)
def _(c):
    c.post(), c.send(DATA, 0, 1, b"{}")
    c.headers(1, END_STREAM | END_HEADERS, c.encoder.encode([(":method", "POST")])), c.malformed()

get_with("8.1.2.2/1", "a field of the connection", [("connection", "keep-alive")])
get_with("8.1.2.2/2", "TE other than trailers", [("te", "trailers, deflate")])
get_with("8.1.2.3/1", "an empty :path", [(":path", "")], [":path"])
for number, name in [(2, ":method"), (3, ":scheme"), (4, ":path")]:
    get_with(f"8.1.2.3/{number}", f"no {name}", [], [name])
for number, name, value in [(5, ":method", "GET"), (6, ":scheme", "https"), (7, ":path", "/")]:
    get_with(f"8.1.2.3/{number}", f"{name} twice", [(name, value)])

@case("http2/8.1.2.6/1", "a content-length that is not the body's", settings=OPEN)
def _(c): c.post(extra=[("content-length", "1")]), c.send(DATA, END_STREAM, 1, b"test"), c.malformed()

@case("http2/8.1.2.6/2", "a content-length that is not that of several DATA frames", settings=OPEN)
def _(c):
    c.post(extra=[("content-length", "1")]), c.send(DATA, 0, 1, b"test"), c.send(DATA, END_STREAM, 1, b"test")
    c.malformed()

@case("http2/8.2/1", "PUSH_PROMISE of a client")
def _(c): c.send(PUSH_PROMISE, END_HEADERS, 1, U32(3) + c.block()), c.connection_error(PROTOCOL)


def outcome(target, connection, run):
    """None, or why it failed."""
    try:
        with Connection(target, **connection) as opened:
            run(opened)
    except (Failed, OSError) as error:
        return str(error)
    return None


def main():
    address, port, host, authority, get, post, *wanted = sys.argv[1:]
    target = Target((address, int(port)), host, authority, get, post)
    numbers = [number for number, *_ in CASES]
    assert len(set(numbers)) == len(numbers), "a number is there twice"
    for number, title, connection, run in CASES:
        if wanted and number not in wanted:
            continue
        failed = outcome(target, connection, run)
        print("pass" if failed is None else "fail", number, title if failed is None else f"{title}: {failed}", flush=True)


main()
