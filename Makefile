# SPDX-License-Identifier: MIT
#
# tidewheel: make, make demo, make check, make bench, make install prefix=… DESTDIR=…
#
# All output is under build/. V=1 shows the commands. SAN=address,undefined builds with sanitizers
# into build/san-…, SWITCH=ucontext without our assembly, ZSTD=no without zstd, URING=no without
# liburing's library and the backend that needs it, FIU=no without libfiu's points, BPF=no without
# the recorder (which is also left out where clang, bpftool or libbpf's headers are missing). DEPS=no never installs anything. Targets that need packages install their tier of them first (deps.sh).

VERSION  := 0.1.0
SOVERSION := 0

prefix      ?= /usr/local
exec_prefix ?= $(prefix)
bindir      ?= $(exec_prefix)/bin
libdir      ?= $(exec_prefix)/lib
includedir  ?= $(prefix)/include
pkgconfigdir ?= $(libdir)/pkgconfig
mandir      ?= $(prefix)/share/man

ifeq ($(origin CC),default)
CC := cc
endif
AR         ?= ar
INSTALL    ?= install
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
DEPS       ?= $(if $(DEB_BUILD_OPTIONS),no,yes)
SWITCH     ?= native
# The recorder is built where its tools are; the tier `bpf` brings them.
BPFTOOL    ?= $(firstword $(shell command -v bpftool) $(wildcard /usr/sbin/bpftool))
BPF_CLANG  ?= clang
BPF_ASKED  := $(BPF)
BPF        ?= $(if $(and $(BPFTOOL),$(wildcard /usr/include/bpf/libbpf.h),$(shell command -v $(BPF_CLANG)),$(filter x86_64%,$(shell $(CC) -dumpmachine))),yes,no)
ZSTD       ?= yes
URING      ?= yes
FIU        ?= yes
BUILD      ?= build
comma := ,
ifdef SAN
O := $(BUILD)/san-$(subst $(comma),-,$(SAN))
else
O := $(BUILD)
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
        -Wcast-qual -Wwrite-strings
WARN += $(shell $(CC) -Wjump-misses-init -E -x c /dev/null >/dev/null 2>&1 && \
                $(CC) --version | grep -q Free && echo -Wjump-misses-init)
ifdef WERROR
WARN += -Werror
endif

ALL_CPPFLAGS = -I. -Iinclude -isystem $(O)/gen -D_GNU_SOURCE -DTDW_VERSION='"$(VERSION)"' $(CPPFLAGS)
# No SLP: at -O2 two fields that stand side by side are read as one, which waits until what was
# stored to them a moment ago is in the cache. A tenth of the time of a loop over many hosts.
ALL_CFLAGS = -std=gnu11 -fPIC -fno-tree-slp-vectorize $(WARN) $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS)
ifneq ($(FIU),yes)
ALL_CPPFLAGS += -DTDW_NO_FIU
endif
ifneq ($(ZSTD),yes)
ALL_CPPFLAGS += -DTDW_NO_ZSTD
endif
LIBS = $(if $(filter yes,$(URING)),-luring) $(if $(filter yes,$(ZSTD)),-lzstd) -lfyaml
ifdef SAN
ALL_CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
ALL_LDFLAGS += -fsanitize=$(SAN)
endif

comma := ,

# ── Sources ────────────────────────────────────────────────────────────────────────────────────

ARCH := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(SWITCH)-$(ARCH),native-x86_64)
SWITCH_SRC := runtime/switch_x86_64.S runtime/switch_prepare.c
else ifeq ($(SWITCH)-$(ARCH),native-aarch64)
SWITCH_SRC := runtime/switch_aarch64.S runtime/switch_prepare.c
else
SWITCH_SRC := runtime/switch_ucontext.c
endif
COMPRESS_SRC := traces/compress_$(if $(filter yes,$(ZSTD)),zstd,none).c

LIB_SRC := $(filter-out runtime/switch_%.c,$(wildcard runtime/*.c)) $(SWITCH_SRC) \
           $(filter-out runtime/real/uring%.c,$(wildcard runtime/real/*.c)) \
           runtime/real/uring$(if $(filter yes,$(URING)),,_none).c \
           $(wildcard sim/kernel/*.c sim/kernel/net/*.c) $(wildcard sim/explore/*.c) \
           $(filter-out $(if $(filter yes,$(FIU)),,faults/fiu.c),$(wildcard faults/*.c)) \
           $(filter-out traces/compress_%.c,$(wildcard traces/*.c)) $(COMPRESS_SRC) \
           $(wildcard traces/ebpf/events_*.c)
RECORD_SRC := $(addprefix traces/ebpf/,record.c record_spool.c record_target.c)
CLI_SRC := $(wildcard cli/*.c) \
           $(if $(filter yes,$(BPF)),$(RECORD_SRC),traces/ebpf/record_none.c)
TEST_SRC := $(filter-out $(if $(filter yes,$(FIU)),,tests/unit/legacy.c),$(wildcard tests/unit/*.c))
CONFORMANCE_SRC := $(wildcard tests/conformance/*.c)
BENCH_SRC := $(filter-out %.bpf.c tests/bench/record%.c,$(wildcard tests/bench/*.c)) \
             $(if $(filter yes,$(BPF)),tests/bench/record.c $(RECORD_SRC),tests/bench/record_none.c)

obj = $(addprefix $(O)/obj/,$(addsuffix .o,$(basename $(1))))
LIB_OBJ := $(call obj,$(LIB_SRC))
CLI_OBJ := $(call obj,$(CLI_SRC))
TEST_OBJ := $(call obj,$(TEST_SRC))
BENCH_OBJ := $(call obj,$(BENCH_SRC))
CONFORMANCE_OBJ := $(call obj,$(CONFORMANCE_SRC))

LIB_A := $(O)/libtidewheel.a
LIB_SO := $(O)/libtidewheel.so.$(VERSION)
SCENARIOS := store echo proxy lease
EXAMPLES := $(addprefix $(O)/examples/,$(SCENARIOS) store-bug lease-bug)
# Ordinary liburing programs, for the real kernel and, by one header, for the simulated one.
LIBURING := $(notdir $(basename $(wildcard examples/liburing/*.c)))
EXAMPLES += $(foreach p,$(LIBURING),$(O)/examples/liburing/$(p)-real $(O)/examples/liburing/$(p)-sim)

.PHONY: all demo check check-record opcodes man bench big fuzz check-portable install uninstall clean format lint style \
        deps deps-core deps-check deps-bpf deps-man deps-bench deps-lint deps-portable
.DELETE_ON_ERROR:
.SUFFIXES:

all: deps-core
	$(Q)$(MAKE) --no-print-directory built

# The manual pages are built with the rest where scdoc is there; make man brings it.
PAGES := $(O)/man/tdw-sim.7 $(O)/man/tdw-plan.5
.PHONY: built
built: $(LIB_A) $(LIB_SO) $(O)/tdw $(EXAMPLES) $(if $(shell command -v scdoc),$(PAGES))

# Numbers of the system calls of the machine that is built for, from the kernel's header.
NUMBERS := $(O)/gen/syscall_numbers.h
$(NUMBERS): Makefile
	$(call say,GEN,$@)mkdir -p $(@D) && { echo '#include <asm/unistd.h>'; \
	echo '#define TDW__SYSCALL_NUMBERS(X) \'; \
	echo '#include <asm/unistd.h>' | $(CC) $(CPPFLAGS) -E -dM -x c - | \
	sed -n '/syscalls /d; /arch_specific/d; s/^#define __NR_\([a-z0-9_]*\) .*/    X(\1, __NR_\1) \\/p'; echo; } > $@
$(O)/obj/traces/ebpf/events_numbers.o: $(NUMBERS)

# What the manual pages document, as faults/errnos.sh found it.
ERRNOS := $(O)/gen/errnos_documented.h
$(ERRNOS): faults/errnos.tsv
	$(call say,GEN,$@)mkdir -p $(@D) && { echo '#define TDW__ERRNOS(X) \'; \
	awk '!/^#/ { name = $$1 ~ /^(FTRUNCATE|BIND|LISTEN)$$/ ? "TDW_OP_" : "IORING_OP_"; \
	printf "    X(%s%s, %s) \\\n", name, $$1, $$2 }' $<; echo; } > $@
$(O)/obj/faults/points.o: $(ERRNOS)

# ── Compile and link ───────────────────────────────────────────────────────────────────────────

$(O)/obj/%.o: %.c Makefile
	$(call say,CC,$<)mkdir -p $(@D) && \
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<

$(O)/obj/%.o: %.S Makefile
	$(call say,AS,$<)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB_A): $(LIB_OBJ)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

$(LIB_SO): $(LIB_OBJ) runtime/libtidewheel.map
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -shared \
	    -Wl,-Bsymbolic-functions -Wl,-soname,libtidewheel.so.$(SOVERSION) -Wl,--version-script=runtime/libtidewheel.map \
	    -o $@ $(LIB_OBJ) $(LIBS) && \
	ln -sf $(@F) $(O)/libtidewheel.so.$(SOVERSION) && ln -sf $(@F) $(O)/libtidewheel.so

$(O)/tdw: $(CLI_OBJ) $(LIB_A)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(if $(filter yes,$(BPF)),-lbpf)
	$(if $(filter yes,$(BPF)),,@echo "  record  left out of tdw: it needs BPF=yes, and what make deps-bpf brings")

# The recorder's kernel side: an object with BTF, and from it a header that loads it.
BPF_COMPILE = $(BPF_CLANG) -target bpf -mcpu=v3 -g -O2 -D__TARGET_ARCH_x86 -I. \
              -Wall -Wextra -Wno-unused-parameter $(if $(WERROR),-Werror)
$(O)/gen/%.bpf.o: traces/ebpf/%.bpf.c traces/ebpf/vmlinux.h traces/ebpf/events.h Makefile
	$(call say,BPF,$<)mkdir -p $(@D) && $(BPF_COMPILE) -c -o $@ $<

$(O)/gen/%.bpf.o: tests/bench/%.bpf.c traces/ebpf/vmlinux.h Makefile
	$(call say,BPF,$<)mkdir -p $(@D) && $(BPF_COMPILE) -c -o $@ $<

$(O)/gen/%.skel.h: $(O)/gen/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $* > $@

$(O)/obj/traces/ebpf/record.o: $(O)/gen/record.skel.h
$(O)/obj/tests/bench/record.o: $(O)/gen/bare.skel.h
.SECONDARY: $(O)/gen/record.bpf.o $(O)/gen/bare.bpf.o

# A program to be recorded, for check-record and bench.
$(O)/record-calls: tests/record/calls.c Makefile
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -pthread


# Programs of scenarios: each example is one folder; its -bug twin, where it has one, is the same
# sources with EXAMPLE_BUG defined.
$(O)/obj/%.bug.o: %.c Makefile
	$(call say,CC,"$< (with the planted bug)")mkdir -p $(@D) && \
	$(CC) $(ALL_CPPFLAGS) -DEXAMPLE_BUG $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define example
$(O)/examples/$(1): $(call obj,$(wildcard examples/$(1)/*.c)) $(LIB_A)
	$$(call say,LD,$$@)mkdir -p $$(@D) && $$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
$(O)/examples/$(1)-bug: $(patsubst %.o,%.bug.o,$(call obj,$(wildcard examples/$(1)/*.c))) $(LIB_A)
	$$(call say,LD,$$@)mkdir -p $$(@D) && $$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach e,$(SCENARIOS),$(eval $(call example,$(e))))

# The corpus of bugs: each is one file, and is built as it should be and with its bug.
CORPUS := $(addprefix $(O)/scenarios/,$(notdir $(basename $(wildcard tests/scenarios/*.c))))
CORPUS += $(addsuffix -bug,$(CORPUS))
$(O)/obj/tests/scenarios/%.bug.o: tests/scenarios/%.c Makefile
	$(call say,CC,"$< (with its bug)")mkdir -p $(@D) && \
	$(CC) $(ALL_CPPFLAGS) -DBUG $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/scenarios/%: $(O)/obj/tests/scenarios/%.o $(LIB_A)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
$(O)/scenarios/%-bug: $(O)/obj/tests/scenarios/%.bug.o $(LIB_A)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
.SECONDARY: $(CORPUS:$(O)/scenarios/%=$(O)/obj/tests/scenarios/%.o) \
            $(CORPUS:$(O)/scenarios/%-bug=$(O)/obj/tests/scenarios/%.bug.o)

$(O)/examples/liburing/%-real: examples/liburing/%.c Makefile
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -luring

$(O)/examples/liburing/%-sim: examples/liburing/%.c $(LIB_A) include/tidewheel/liburing.h Makefile
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) -include tidewheel/liburing.h \
	    $(ALL_CFLAGS) -Wno-missing-prototypes $(ALL_LDFLAGS) -o $@ $< $(LIB_A) $(LIBS)

$(O)/tests: $(TEST_OBJ) $(LIB_A)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka \
	    $(if $(filter yes,$(FIU)),-Wl$(comma)--no-as-needed -lfiu)

$(O)/conformance: $(CONFORMANCE_OBJ) $(LIB_A)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# A program with a shared library that knows libfiu alone.
$(O)/scenarios/libledger.so: tests/scenarios/libfiu/ledger.c tests/scenarios/libfiu/ledger.h Makefile
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) -fPIC -shared $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -lfiu
$(O)/scenarios/libfiu-user: $(O)/obj/tests/scenarios/libfiu/main.o $(O)/scenarios/libledger.so $(LIB_A)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIB_A) $(LIBS) \
	    -L$(@D) -lledger -Wl$(comma)-rpath$(comma)'$$ORIGIN'

# SQLite on simulated files, to judge the disk model by; it is one of the programs that run unchanged.
$(O)/scenarios/sqlite-judge: $(call obj,$(wildcard tests/scenarios/sqlite/*.c)) $(LIB_A)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lsqlite3

# Real clients for the examples that serve: nothing of ours is in them.
$(O)/serve-client: tests/serve/client.c Makefile
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -lpthread

$(O)/man/%: docs/man/%.scd docs/man/page.sh $(O)/tdw $(wildcard tests/opcodes/*)
	$(call say,MAN,$@)mkdir -p $(@D) && sh docs/man/page.sh $(O)/tdw $< > $@

man: deps-core deps-man
	$(Q)$(MAKE) --no-print-directory $(PAGES)

-include $(wildcard $(O)/obj/*/*.d $(O)/obj/*/*/*.d $(O)/obj/*/*/*/*.d)

clean:
	rm -rf $(BUILD)

# ── Check ──────────────────────────────────────────────────────────────────────────────────────

check: deps-check deps-man $(if $(filter no,$(BPF_ASKED)),,deps-bpf)
	$(Q)$(MAKE) --no-print-directory built $(PAGES) $(O)/tests $(O)/conformance $(O)/serve-client \
	    $(O)/scenarios/sqlite-judge $(if $(filter yes,$(FIU)),$(O)/scenarios/libfiu-user) \
	    fuzz-replay corpus
	$(Q)sh tests/style.sh
	$(Q)sh tests/mistakes.sh $(O) "$(CC)" "$(ALL_CPPFLAGS) $(ALL_CFLAGS)"
	$(Q)$(if $(SAN),,$(MAKE) --no-print-directory fuzz T=5)
	$(Q)sh tests/commands.sh $(O)
	$(Q)$(O)/tests
	$(Q)sh tests/opcodes/table.sh $(O)
	$(Q)sh tests/scenarios/sqlite/check.sh $(O) 1000
	$(Q)sh tests/serve/serve.sh $(O)
	$(Q)sh tests/scenarios/check.sh $(O) 2
	$(Q)$(O)/conformance -n $(N) $(O)/conformance.tsv

# The corpus of bugs: is each found, and how soon? To $(O)/scenarios.tsv.
SEARCHES ?= 20
.PHONY: corpus check-scenarios
corpus: $(CORPUS)
	@:
check-scenarios: deps-core
	$(Q)$(MAKE) --no-print-directory corpus
	$(Q)sh tests/scenarios/check.sh $(O) $(SEARCHES)

# The examples as real servers on both backends, at length; and echoes for a long time.
OPERATIONS ?= 200000
MIB ?= 1024
SOAK ?= 100000000
.PHONY: serve soak
serve: deps-core
	$(Q)$(MAKE) --no-print-directory built $(O)/serve-client
	$(Q)sh tests/serve/serve.sh $(O) $(OPERATIONS) $(MIB)
soak: deps-core
	$(Q)$(MAKE) --no-print-directory built $(O)/serve-client
	$(Q)sh tests/serve/soak.sh $(O) $(SOAK)

# Random programs on the simulated kernel and on both real backends: N operations of each subsystem.
N ?= 20000
.PHONY: conformance
conformance: deps-core
	$(Q)$(MAKE) --no-print-directory $(O)/conformance
	$(Q)$(O)/conformance -n $(N) $(O)/conformance.tsv

# SQLite on disks of each kind, with so many power cuts for each.
CUTS ?= 10000
.PHONY: check-sqlite
check-sqlite: deps-check
	$(Q)$(MAKE) --no-print-directory $(O)/scenarios/sqlite-judge
	$(Q)sh tests/scenarios/sqlite/check.sh $(O) $(CUTS)

# The recorder on this kernel; needs root. Where BPF is refused it is counted as skipped.
check-record: deps-check $(if $(filter no,$(BPF_ASKED)),,deps-bpf)
	$(Q)$(MAKE) --no-print-directory built $(O)/record-calls
	$(Q)sh tests/record/check.sh $(O); code=$$?; \
	    if [ $$code -eq 77 ]; then echo "  record  1 skipped"; else exit $$code; fi

# The account of every opcode and documented errno, with the tests that it is made from.
opcodes: deps-check
	$(Q)$(MAKE) --no-print-directory built $(O)/tests
	$(Q)$(O)/tests > $(O)/opcodes.log
	$(Q)sh tests/opcodes/table.sh $(O)

style:
	$(Q)sh tests/style.sh

format: deps-lint
	clang-format -i $$(git ls-files '*.c' '*.h')

lint: deps-lint
	$(Q)cppcheck --quiet --enable=warning,portability --inline-suppr --error-exitcode=1 \
	    --suppress=missingIncludeSystem --suppress=uninitvar \
	    --suppress=identicalInnerCondition:runtime/names.c \
	    --suppress=autoVariables:runtime/switch_ucontext.c \
	    --suppress=ctunullpointer:include/tidewheel/verbs.h \
	    -i traces/ebpf/record.bpf.c --suppress=pointerSize:sim/kernel/pool.c --suppress=memleak:traces/import_map.c \
	    -I. -Iinclude -DTDW_VERSION='""' runtime sim traces cli

# A million tasks at once in each model; not part of check.
big: deps-check
	$(Q)$(MAKE) --no-print-directory $(O)/tests
	$(Q)$(O)/tests --big

# ── Fuzz ───────────────────────────────────────────────────────────────────────────────────────

T ?= 60
FUZZERS := $(notdir $(basename $(wildcard tests/fuzz/fuzz_*.c)))
CLANG ?= clang
FUZZ_CFLAGS = -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(O)/fuzz/%: tests/fuzz/%.c $(NUMBERS) $(ERRNOS) $(LIB_SRC) $(wildcard */*.h */*/*.h */*/*/*.h)
	$(call say,FUZZ,$@)mkdir -p $(@D) && $(CLANG) $(ALL_CPPFLAGS) $(FUZZ_CFLAGS) -o $@ $< \
	    $(filter %.c %.S,$(LIB_SRC)) $(LIBS)

$(O)/fuzz/replay_%: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/replay_main.o $(LIB_A)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: fuzz-replay
fuzz-replay: $(addprefix $(O)/fuzz/replay_,$(FUZZERS))
	$(Q)for f in $(FUZZERS); do \
	    $(O)/fuzz/replay_$$f tests/fuzz/corpus_$${f#fuzz_}/* >/dev/null || exit 1; done

fuzz: deps-check
	$(Q)$(MAKE) --no-print-directory $(addprefix $(BUILD)/fuzz/,$(FUZZERS))
	$(Q)for f in $(FUZZERS); do mkdir -p $(BUILD)/fuzz/new_$$f && \
	    $(BUILD)/fuzz/$$f -max_total_time=$(T) -max_len=65536 -rss_limit_mb=2048 -print_final_stats=0 \
	    -verbosity=0 $(BUILD)/fuzz/new_$$f tests/fuzz/corpus_$${f#fuzz_} || exit 1; \
	    echo "  fuzzed  $$f for $(T) s"; done

# ── Demo and bench ─────────────────────────────────────────────────────────────────────────────

demo: deps-core
	$(Q)$(MAKE) --no-print-directory built
	$(Q)sh examples/demo.sh $(O)

$(O)/bench: $(BENCH_OBJ) $(LIB_A)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(BENCH_LIBS) $(if $(filter yes,$(BPF)),-lbpf)

# Peers are programs over what Debian packages; each is left out where its library is missing.
CXX ?= c++
$(BUILD)/bench-simgrid: tests/bench/peers/simgrid.cpp
	$(call say,CXX,$<)mkdir -p $(@D) && $(CXX) -O2 -std=c++17 -o $@ $< -lsimgrid
$(BUILD)/bench-ns3: tests/bench/peers/ns3.cpp
	$(call say,CXX,$<)mkdir -p $(@D) && $(CXX) -O2 -std=c++17 -o $@ $< \
	    $(addprefix -lns3-,core network internet point-to-point applications)

PEER_LIBS_echo_liburing := -luring
PEER_LIBS_echo_multishot := -luring
PEER_LIBS_echo_libuv := -luv
PEER_LIBS_echo_libevent := -levent_core
PEER_LIBS_read_liburing := -luring
$(BUILD)/bench-%: tests/bench/peers/%.c $(wildcard tests/bench/peers/*.h) Makefile
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< \
	    $(PEER_LIBS_$*)
$(BUILD)/bench-%_tidewheel: tests/bench/peers/%_tidewheel.c $(LIB_A) $(wildcard tests/bench/peers/*.h)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< \
	    $(LIB_A) $(LIBS)
PEERS := $(addprefix $(BUILD)/bench-,$(basename $(notdir $(wildcard tests/bench/peers/*.c*))))

# GROUP=net, echo_uring, …: only that one. BENCH_ROUNDS, BENCH_MS: see tests/bench/echo.c.
bench: deps-bench $(if $(filter no,$(BPF_ASKED)),,deps-bpf)
	$(Q)$(MAKE) --no-print-directory $(O)/bench $(O)/record-calls BENCH_LIBS="-lboost_context"
	$(Q)$(MAKE) -k --no-print-directory $(PEERS) || true
	$(Q)$(O)/bench $(BUILD)/bench.tsv $(GROUP)

# ── Portability: other compilers, other levels, another architecture, the same digests ─────────

check-portable: deps-portable
	$(Q)sh tests/portable.sh

# ── Install ────────────────────────────────────────────────────────────────────────────────────

install: built
	$(INSTALL) -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir) $(DESTDIR)$(includedir)/tidewheel \
	    $(DESTDIR)$(pkgconfigdir)
	$(INSTALL) -m 755 $(O)/tdw $(DESTDIR)$(bindir)/tdw
	$(INSTALL) -m 644 $(LIB_A) $(DESTDIR)$(libdir)/libtidewheel.a
	$(INSTALL) -m 755 $(LIB_SO) $(DESTDIR)$(libdir)/libtidewheel.so.$(VERSION)
	ln -sf libtidewheel.so.$(VERSION) $(DESTDIR)$(libdir)/libtidewheel.so.$(SOVERSION)
	ln -sf libtidewheel.so.$(VERSION) $(DESTDIR)$(libdir)/libtidewheel.so
	$(INSTALL) -m 644 include/tidewheel/*.h $(DESTDIR)$(includedir)/tidewheel/
	sed -e 's|@prefix@|$(prefix)|; s|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|' \
	    -e 's|@version@|$(VERSION)|; s|@libs@|$(LIBS)|' runtime/tidewheel.pc.in \
	    > $(DESTDIR)$(pkgconfigdir)/tidewheel.pc
	for page in $(PAGES); do [ ! -e $$page ] || \
	    $(INSTALL) -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; done

uninstall:
	rm -f $(DESTDIR)$(bindir)/tdw $(DESTDIR)$(libdir)/libtidewheel.* \
	    $(DESTDIR)$(pkgconfigdir)/tidewheel.pc $(DESTDIR)$(mandir)/man7/tdw-sim.7 \
	    $(DESTDIR)$(mandir)/man5/tdw-plan.5
	rm -rf $(DESTDIR)$(includedir)/tidewheel

# ── Packages ───────────────────────────────────────────────────────────────────────────────────

deps: deps-core deps-check $(if $(filter no,$(BPF_ASKED)),,deps-bpf) deps-man deps-bench deps-lint deps-portable

deps-core deps-check deps-bpf deps-man deps-bench deps-lint deps-portable: deps-%:
	$(Q)DEPS=$(DEPS) sh deps.sh $*
deps-check deps-bpf deps-bench deps-lint deps-portable: deps-core
