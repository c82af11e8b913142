/* SPDX-License-Identifier: MIT */
/*
 * The stack switch for x86-64, System V ABI.
 *
 * A suspended stack holds, from the saved pointer up: r15 r14 r13 r12 rbx rbp, return address.
 * The return is a pop and an indirect jump: a `ret` would be mispredicted each time, since the
 * processor's return stack belongs to the stack that was left.
 */
    .text
    .globl tdw__switch
    .hidden tdw__switch
    .type tdw__switch, @function
    .balign 16
tdw__switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
    .cfi_endproc
    .size tdw__switch, . - tdw__switch

/* The first frame of a stack: rbx is the entry, r12 its argument. Unwinding ends here. */
    .globl tdw__switch_boot
    .hidden tdw__switch_boot
    .type tdw__switch_boot, @function
    .balign 16
tdw__switch_boot:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    xorl %ebp, %ebp
    movq %r12, %rdi
    callq *%rbx
    ud2
    .cfi_endproc
    .size tdw__switch_boot, . - tdw__switch_boot

    .section .note.GNU-stack, "", @progbits
