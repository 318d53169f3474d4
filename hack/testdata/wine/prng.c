/* The one function that Go's runtime wants of bcryptprimitives.dll, which the
 * Wine of Debian 12 does not have. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID data, ULONG size);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
	return SystemFunction036(data, size);
}
