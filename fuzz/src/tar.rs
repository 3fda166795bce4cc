//! Checksums for mutated tars: without them, a mutation in a header is seen by nothing but the comparison of the checksum.

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Gives every header of `tar` its checksum, as far as the sizes in them lead from one to the next.
pub fn repair(tar: &mut [u8]) {
    let mut rest = tar;
    while let Some((header, behind)) = rest.split_at_mut_checked(BLOCK) {
        if header.iter().all(|&byte| byte == 0) {
            return;
        }
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = &header[124..136];
        let size = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_usize, |size, &digit| size * 8 + usize::from(digit - b'0'));
        rest = behind.get_mut(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
}
