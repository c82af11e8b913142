/* SPDX-License-Identifier: MIT */
/*
 * Words for the numbers that traces hold: rows, how, compare, objects, edges, images.
 *
 * Each table is indexed by the number that files keep; an unknown one, from a later version, is
 * "?". Called by whoever prints a trace.
 */
#include <tidewheel/trace.h>

static const char *word(const char *const *words, size_t count, uint8_t number)
{
    return number < count && words[number] ? words[number] : "?";
}

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

const char *tdw_row_name(uint8_t row)
{
    static const char *const words[TDW_ROWS] = {
        [TDW_ROW_FILE_AT] = "file at offset",
        [TDW_ROW_FILE] = "file",
        [TDW_ROW_STREAM] = "stream",
        [TDW_ROW_COPY] = "copy",
        [TDW_ROW_SYNC] = "sync",
        [TDW_ROW_OPEN] = "open and close",
        [TDW_ROW_NAMES] = "names",
        [TDW_ROW_META] = "metadata",
        [TDW_ROW_STAT] = "stat",
        [TDW_ROW_SEEK] = "seek",
        [TDW_ROW_LOCK] = "lock",
        [TDW_ROW_FDS] = "descriptors",
        [TDW_ROW_SOCKET] = "socket",
        [TDW_ROW_SOCKOPT] = "socket option",
        [TDW_ROW_EPOLL] = "epoll",
        [TDW_ROW_WAIT] = "wait",
        [TDW_ROW_FUTEX] = "futex",
        [TDW_ROW_SIGNAL] = "signal",
        [TDW_ROW_TASK] = "task",
        [TDW_ROW_MEMORY] = "memory",
        [TDW_ROW_IGNORED] = "ignored",
        [TDW_ROW_UNSUPPORTED] = "unsupported",
    };

    return word(words, COUNT(words), row);
}

const char *tdw_how_name(uint8_t how)
{
    static const char *const words[] = {
        [TDW_HOW_OP] = "op",         [TDW_HOW_SYS] = "sys",
        [TDW_HOW_WAIT] = "wait",     [TDW_HOW_EDGE] = "edge",
        [TDW_HOW_TASK] = "task",     [TDW_HOW_IGNORE] = "ignored",
        [TDW_HOW_SERVED] = "served", [TDW_HOW_UNSUPPORTED] = "unsupported",
    };

    return word(words, COUNT(words), how);
}

const char *tdw_compare_name(uint8_t compare)
{
    static const char *const words[] = {
        [TDW_COMPARE_NONE] = "nothing",  [TDW_COMPARE_RESULT] = "result",
        [TDW_COMPARE_ERRNO] = "errno",   [TDW_COMPARE_FD] = "descriptor",
        [TDW_COMPARE_STREAM] = "stream", [TDW_COMPARE_STAT] = "type and size",
        [TDW_COMPARE_NAMES] = "names",   [TDW_COMPARE_LOCK] = "range",
        [TDW_COMPARE_PID] = "process",   [TDW_COMPARE_TIMING] = "timing",
    };

    return word(words, COUNT(words), compare);
}

const char *tdw_object_name(uint8_t object)
{
    static const char *const words[] = {
        [TDW_OBJECT_NONE] = "none",       [TDW_OBJECT_FILE] = "file",
        [TDW_OBJECT_PIPE] = "pipe",       [TDW_OBJECT_SOCKET] = "socket",
        [TDW_OBJECT_EVENTFD] = "eventfd", [TDW_OBJECT_SIGNALFD] = "signalfd",
        [TDW_OBJECT_TIMERFD] = "timerfd", [TDW_OBJECT_EPOLL] = "epoll",
        [TDW_OBJECT_SERVED] = "served",   [TDW_OBJECT_OTHER] = "other",
    };

    return word(words, COUNT(words), object);
}

const char *tdw_edge_name(uint8_t kind)
{
    static const char *const words[] = {
        [TDW_EDGE_SPAWN] = "spawn", [TDW_EDGE_EXIT] = "exit",     [TDW_EDGE_WAKE] = "wake",
        [TDW_EDGE_DATA] = "data",   [TDW_EDGE_SIGNAL] = "signal", [TDW_EDGE_ORDER] = "order",
    };

    return word(words, COUNT(words), kind);
}

const char *tdw_image_name(uint8_t kind)
{
    static const char *const words[] = {
        [TDW_IMAGE_ABSENT] = "absent",       [TDW_IMAGE_FILE] = "file",
        [TDW_IMAGE_DIRECTORY] = "directory", [TDW_IMAGE_LINK] = "link",
        [TDW_IMAGE_OTHER] = "other",         [TDW_IMAGE_FD] = "descriptor",
    };

    return word(words, COUNT(words), kind);
}
