/* SPDX-License-Identifier: MIT */
/*
 * tdw run PROGRAM …: execute a scenario program with the options behind its name.
 *
 * The program knows the options itself (tdw_main), so there is nothing to do but to look whether it
 * is one: tdw_main leaves an ELF note.
 */
#include <cli/cli.h>
#include <elf.h>
#include <string.h>
#include <unistd.h>

enum { NOTES_MAX = 64 * 1024, HEADERS_MAX = 64 };

/* Does the note segment hold ours? */
static bool has_note(FILE *file, const Elf64_Phdr *header)
{
    static char bytes[NOTES_MAX];
    const size_t size = header->p_filesz < NOTES_MAX ? header->p_filesz : NOTES_MAX;
    size_t at = 0;

    if (fseek(file, (long)header->p_offset, SEEK_SET) < 0 || fread(bytes, 1, size, file) != size)
        return false;
    while (at + sizeof(Elf64_Nhdr) <= size) {
        Elf64_Nhdr note;

        memcpy(&note, bytes + at, sizeof note);
        at += sizeof note;
        if (note.n_namesz > size - at)
            return false;
        if (note.n_namesz == sizeof "tidewheel" && memcmp(bytes + at, "tidewheel", 10) == 0)
            return true;
        at += ((size_t)note.n_namesz + 3) / 4 * 4 + ((size_t)note.n_descsz + 3) / 4 * 4;
    }
    return false;
}

static bool is_ours(FILE *file)
{
    Elf64_Ehdr elf;
    Elf64_Phdr headers[HEADERS_MAX];
    size_t count;

    if (fread(&elf, sizeof elf, 1, file) != 1 || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof *headers)
        return false;
    count = elf.e_phnum < HEADERS_MAX ? elf.e_phnum : HEADERS_MAX;
    if (fseek(file, (long)elf.e_phoff, SEEK_SET) < 0 ||
        fread(headers, sizeof *headers, count, file) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_NOTE && has_note(file, &headers[i]))
            return true;
    return false;
}

int tdw__check_program(const char *path)
{
    FILE *file = fopen(path, "rb");
    bool ours;

    if (!file) {
        fprintf(stderr, "tdw: %s: %s\n", path, strerror(errno));
        return -EINVAL;
    }
    ours = is_ours(file);
    fclose(file);
    if (!ours)
        fprintf(stderr, "tdw: %s is not a tidewheel program (its main does not call tdw_main)\n",
                path);
    return ours ? 0 : -EINVAL;
}

int tdw__cli_run(int argc, char **argv)
{
    if (argc < 2)
        return tdw__usage("run", "which program?");
    if (argv[1][0] == '-')
        return tdw__usage("run", "the program comes first, its options behind it");
    if (tdw__check_program(argv[1]) < 0)
        return TDW_EXIT_USAGE;
    execv(argv[1], argv + 1);
    fprintf(stderr, "tdw: %s could not be executed: %s\n", argv[1], strerror(errno));
    return TDW_EXIT_USAGE;
}
